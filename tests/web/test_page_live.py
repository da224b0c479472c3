"""The page's live tabs in a real browser: a client's webcam, and a camera named at start-up."""

import csv
import io
import json
import re

import cv2
import numpy as np
import pytest
from support import browsing, mjpeg, portrait

from fer.core.labels import FER2013
from fer.inference.results import COLUMNS

pytestmark = pytest.mark.browser

SIZE = (640, 480)  # of the images of both cameras
FACE = portrait.PLACE
AT = (FACE.x, FACE.y - 32)  # of the face in the cameras' images, left of the middle
CAMERA_OPEN = "document.querySelector('#webcam video').srcObject?.active"
REFUSING = """const refuse = () => Promise.reject(new DOMException("stub", "%s"));
if (navigator.mediaDevices) navigator.mediaDevices.getUserMedia = refuse;"""
NO_DEVICES = "Object.defineProperty(navigator, 'mediaDevices', {get: () => undefined});"  # not localhost, not https
# Lets a test close the page's sockets, as a network that fails does. Routing them through Playwright would mix up the
# order of their messages.
SOCKETS = """window.sockets = [];
window.WebSocket = class extends WebSocket { constructor(...all) { super(...all); sockets.push(this); } };"""


def draw(i):
    """Image number i: the astronaut, who sways a little."""
    image = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
    image[:, :512] = portrait.astronaut()[FACE.y - AT[1] :]
    return np.roll(image, round(6 * np.sin(i / 4)), axis=1)


@pytest.fixture(scope="module")
def camera():
    draw(0)
    camera = mjpeg.Camera(draw, fps=15)
    camera.start()
    yield camera
    camera.stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory, camera, light_four_block):
    path = tmp_path_factory.mktemp("webcam") / "video.mjpeg"
    path.write_bytes(b"".join(cv2.imencode(".jpg", draw(i))[1].tobytes() for i in range(25)))
    flags = ("--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={path}")
    door = f"door={camera.address('/live', 'eve:secret@')}"
    place = tmp_path_factory.mktemp("server")
    with browsing.site(place, light_four_block, "--camera", door, browser_flags=flags) as site:
        yield site


@pytest.fixture
def webcam(site):
    """A page whose webcam shows a labelled face."""
    with site.visit(permissions=["camera"]) as page:
        page.click("#webcam .start")
        page.wait_for_selector("#webcam .face")
        yield page


def near_face(left, bottom, x=AT[0]):
    """True where a box ends left and below as one around the face does; its words may lie above and right of it."""
    return abs(SIZE[0] * left - x) < 40 and abs(SIZE[1] * bottom - AT[1] - FACE.height) < 40


def labelled(page, tab):
    """The only face, with bars that fit its title."""
    (face,) = browsing.bars(page, tab)
    label, percent = re.fullmatch(r"Face \d+: (\w+) (\d+) %", face["title"]).groups()
    assert set(face["shares"]) == set(FER2013)
    assert abs(sum(face["shares"].values()) - 100) <= 4
    assert max(face["shares"], key=face["shares"].get) == label
    assert face["shares"][label] == int(percent)
    assert np.allclose(face["widths"], list(face["shares"].values()), atol=0.6)
    return face


def track(page, tab):
    """That of the only face."""
    return int(re.search(r"\d+", labelled(page, tab)["title"])[0])


class TestWebcam:
    def test_label_bars_and_box_follow_a_face(self, webcam):
        number = labelled(webcam, "webcam")["title"].split(":")[0]
        browsing.until(webcam, "document.querySelector('#webcam .rate').textContent")
        assert int(re.fullmatch(r"(\d+) labelled frames/s", webcam.inner_text("#webcam .rate"))[1]) >= 1
        webcam.uncheck("#webcam .mirror")
        webcam.wait_for_timeout(500)
        left, top, right, bottom = browsing.drawn(webcam, "#webcam canvas")
        assert near_face(left, bottom)
        assert top < AT[1] / SIZE[1] < bottom
        assert right < 0.7
        assert labelled(webcam, "webcam")["title"].split(":")[0] == number  # the same track

    def test_mirror_keeps_text_readable(self, webcam):
        mirrored = browsing.drawn(webcam, "#webcam canvas")
        assert near_face(mirrored[0], mirrored[3], SIZE[0] - AT[0] - FACE.width)
        assert webcam.eval_on_selector("#webcam video", "(video) => getComputedStyle(video).transform[7]") == "-"
        assert webcam.eval_on_selector("#webcam canvas", "(it) => getComputedStyle(it).transform") == "none"
        webcam.uncheck("#webcam .mirror")
        webcam.wait_for_timeout(500)
        assert near_face(browsing.drawn(webcam, "#webcam canvas")[0], mirrored[3])
        assert webcam.eval_on_selector("#webcam video", "(video) => getComputedStyle(video).transform") == "none"

    def test_stop_releases_the_camera_and_clears_the_tab(self, webcam):
        assert webcam.evaluate(CAMERA_OPEN)
        webcam.evaluate("window.tracks = document.querySelector('#webcam video').srcObject.getTracks()")
        webcam.click("#webcam .stop")
        assert webcam.evaluate("tracks.map((track) => track.readyState)") == ["ended"]
        assert webcam.evaluate("document.querySelector('#webcam video').srcObject") is None
        assert browsing.bars(webcam, "webcam") == []
        assert browsing.drawn(webcam, "#webcam canvas") == [1, 1, 0, 0]
        assert webcam.is_visible("#webcam .start")
        webcam.wait_for_timeout(500)  # an answer that was on its way draws nothing any more
        assert browsing.bars(webcam, "webcam") == []
        webcam.click("#webcam .start")
        webcam.wait_for_selector("#webcam .face")

    @pytest.mark.parametrize("leave", ["another tab", "another window"])
    def test_hidden_tab_releases_the_camera(self, webcam, leave):
        if leave == "another tab":
            webcam.click("#tab-video")
        else:
            webcam.evaluate("Object.defineProperty(document, 'hidden', {get: () => true})")
            webcam.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        assert not webcam.evaluate(CAMERA_OPEN)
        said = webcam.text_content("#webcam .status")
        assert said == "The webcam was turned off while it was out of sight."


class TestWithoutCamera:
    def test_denied_permission_is_explained(self, site):
        with site.visit(permissions=[]) as page:  # a real refusal by Chromium
            page.click("#webcam .start")
            browsing.status(page, "webcam", "Allow it in the browser's address bar", problem=True)
            page.click("#tab-video")
            page.click("#tab-webcam")  # who looks elsewhere for the setting still finds the words
            browsing.status(page, "webcam", "Allow it in the browser's address bar", problem=True)
            assert page.is_visible("#webcam .start")

    def test_each_error_is_explained(self, site):
        with site.visit() as page:
            for before, words in (
                (REFUSING % "NotFoundError", "No camera was found"),
                (REFUSING % "NotReadableError", "another program may be using it"),
                (REFUSING % "AbortError", "The camera cannot be used (stub)"),
                (NO_DEVICES, "localhost) or over https"),
            ):
                page.evaluate(f"() => {{ {before} }}")
                page.click("#webcam .start")
                browsing.status(page, "webcam", words, problem=True)
                assert page.is_visible("#webcam .start")


class TestConnection:
    def test_full_server_is_reported_and_camera_released(self, site):
        with site.visit(permissions=["camera"]) as page:
            busy = json.dumps({"error": "busy: 8 webcams at once are served; try again in a moment"})
            page.route_web_socket("**/live", lambda socket: (socket.send(busy), socket.close(code=1013)))
            page.click("#webcam .start")
            browsing.status(page, "webcam", "Busy: 8 webcams at once are served", problem=True)
            assert not page.evaluate(CAMERA_OPEN)

    @pytest.mark.parametrize("tab", ["webcam", "camera"])
    def test_lost_connection_is_reported_and_restored(self, site, tab):
        with site.visit(tab, before=SOCKETS, permissions=["camera"]) as page:
            page.click(f"#{tab} .start")
            page.wait_for_selector(f"#{tab} .face")
            before = track(page, tab)
            page.evaluate("sockets[0].close()")
            browsing.status(page, tab, "The connection to the server is lost, trying again in 1 s", problem=True)
            if tab == "webcam":  # boxes and bars of a moment ago are not left on a video that moves on
                assert browsing.bars(page, tab) == []
                assert browsing.drawn(page, "#webcam canvas") == [1, 1, 0, 0]
            else:  # the last image stays, and looks like it
                assert page.eval_on_selector("#camera canvas", "(it) => getComputedStyle(it).opacity") == "0.4"
            browsing.until(page, f"sockets.length === 2 && !document.querySelector('#{tab} .status').textContent")
            assert track(page, tab) > before  # who that is after a gap nobody knows

    def test_whoever_lost_the_token_is_told_so(self, site):
        context = site.browser.new_context()  # not a visit, which must go without an error
        page = context.new_page()
        page.add_init_script(SOCKETS)
        page.goto(f"{site.address}/#/camera")
        page.locator("#model", has_text=site.model).wait_for()
        page.click("#camera .start")
        page.wait_for_selector("#camera .face")
        page.route(
            "**/cameras", lambda route: route.fulfill(status=401, json={"detail": "this server asks for its token"})
        )
        page.evaluate("""() => { WebSocket = class extends WebSocket {
            constructor(address) { super(address.replace("/cameras/", "/nothing/")); }
        }; }""")
        page.evaluate("sockets[0].close()")
        browsing.status(page, "camera", "This server asks for its token", problem=True)
        assert page.is_visible("#camera .start")
        context.close()

    def test_silent_server_hides_the_boxes_and_is_connected_anew(self, site):
        clock = "const now = performance.now.bind(performance); window.skew = 0; performance.now = () => now() + skew;"
        with site.visit("webcam", before=SOCKETS + clock, permissions=["camera"]) as page:
            page.click("#webcam .start")
            page.wait_for_selector("#webcam .face")
            assert labelled(page, "webcam")["title"].startswith("Face 1:")
            page.evaluate("sockets[0].send = () => {}")  # a network that swallows everything, and says nothing
            page.wait_for_timeout(500)  # for the answers on their way
            page.evaluate("skew = 3000")
            browsing.status(page, "webcam", "The server does not answer", problem=True)
            assert browsing.bars(page, "webcam") == []
            assert browsing.drawn(page, "#webcam canvas") == [1, 1, 0, 0]
            page.evaluate("skew = 11000")
            browsing.status(page, "webcam", "The connection to the server is lost, trying again in 1 s", problem=True)
            browsing.until(page, "sockets.length === 2 && !document.querySelector('#webcam .status').textContent")
            assert labelled(page, "webcam")["title"].startswith("Face 2:")  # the server counts from 1 again


class TestCamera:
    def test_camera_is_shown_without_its_address(self, site, camera):
        heard = []
        with site.visit("camera") as page:
            page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: heard.append(frame)))
            assert page.locator("#camera select").inner_text() == "door"
            page.click("#camera .start")
            page.wait_for_selector("#camera .face")
            labelled(page, "camera")
            width, height = page.eval_on_selector("#camera canvas", "(canvas) => [canvas.width, canvas.height]")
            assert (width, height) == SIZE
            colors = [(255, 200, 80), (60, 170, 255), (120, 230, 120), (255, 140, 200), (90, 230, 230), (255, 130, 110)]
            title = browsing.bars(page, "camera")[0]["title"]
            color = colors[int(re.search(r"\d+", title)[0]) % len(colors)]
            left, _, _, bottom = browsing.drawn(page, "#camera canvas", color)
            assert near_face(left, bottom)
            browsing.until(page, "document.querySelector('#camera .rate').textContent")
            texts = [frame for frame in heard if isinstance(frame, str)]
            assert len(texts) < len(heard)
            for text in (page.content(), *texts, page.request.get(f"{site.address}/cameras").text()):
                assert not re.search(rf"{camera.port}|secret|eve:", text)
            page.click("#camera .stop")
            assert browsing.drawn(page, "#camera canvas") == [1, 1, 0, 0]

    def test_lost_camera_is_reported_by_name_and_returns(self, site, camera):
        with site.visit("camera") as page:
            page.click("#camera .start")
            page.wait_for_selector("#camera .face")
            camera.stop()
            said = browsing.status(page, "camera", "camera door is lost, trying again", problem=True)
            assert str(camera.port) not in said
            camera.start()
            browsing.until(page, "!document.querySelector('#camera .status').textContent")
            labelled(page, "camera")


class TestTools:
    def test_pause_holds_the_image_and_resume_goes_on(self, webcam):
        webcam.click("#webcam .pause")
        assert webcam.inner_text("#webcam .pause") == "Resume"
        assert webcam.eval_on_selector("#webcam video", "(video) => video.paused")
        webcam.wait_for_timeout(300)  # for a frame that was on its way
        title = browsing.bars(webcam, "webcam")[0]["title"]
        webcam.wait_for_timeout(500)
        assert browsing.bars(webcam, "webcam")[0]["title"] == title
        webcam.click("#webcam .pause")
        browsing.until(webcam, "!document.querySelector('#webcam video').paused")
        webcam.wait_for_selector("#webcam .face")  # a busy machine may lose the face for a moment
        labelled(webcam, "webcam")

    @pytest.mark.parametrize("tab", ["webcam", "camera"])
    def test_snapshot_csv_and_timeline(self, site, tab):
        with site.visit(tab, permissions=["camera"]) as page:
            page.click(f"#{tab} .start")
            page.wait_for_selector(f"#{tab} .face canvas.timeline")
            page.wait_for_timeout(1500)
            source = "webcam" if tab == "webcam" else "door"
            name, png = browsing.downloaded(page, f"#{tab} .snapshot")
            assert name == f"{source}.png"
            assert cv2.imdecode(np.frombuffer(png, np.uint8), 1).shape[:2] == SIZE[::-1]
            drawn = [1, 1, 0, 0]  # nothing; the first point lies at the right edge, out of sight
            browsing.eventually(lambda: browsing.drawn(page, f"#{tab} canvas.timeline") != drawn, "no timeline")
            page.click(f"#{tab} .stop")
            name, data = browsing.downloaded(page, f"#{tab} .csv")  # also after the end
            rows = list(csv.DictReader(io.StringIO(data.decode())))
            assert name == f"{source}.csv"
            assert tuple(rows[0])[: len(COLUMNS)] == COLUMNS
            assert set(tuple(rows[0])[len(COLUMNS) :]) == set(FER2013)  # this model has no threshold
            assert {row["source"] for row in rows} == {source}
            seconds = [float(row["seconds"]) for row in rows]
            assert seconds == sorted(seconds)
            assert seconds[-1] > 1
            assert any(row["status"] == "ok" and int(row["track"]) > 0 for row in rows)
