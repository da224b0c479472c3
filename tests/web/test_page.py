"""The page in a real browser: pictures, videos, and how it looks and is reached on a phone and on a desktop."""

import base64
import csv
import io
import itertools
import json
import time

import cv2
import numpy as np
import pytest
from support import browsing, portrait

from fer.core.labels import FER2013
from fer.inference.faces import Box

FIRST = (60, 170, 255)  # RGB of the first face's box
FPS = 15
# Hands a file to the page as a paste or a drop does; true if the page lets the browser open what was dropped.
HAND_OVER = """([how, data, name, type]) => {
  const traits = {bubbles: true, cancelable: true};
  const transfer = new DataTransfer();
  transfer.items.add(new File([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))], name, {type}));
  if (how === "paste")
    return document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: transfer, ...traits}));
  const send = (kind) => document.querySelector("section:not([hidden]) .drop").dispatchEvent(
    new DragEvent(kind, {dataTransfer: transfer, ...traits}));
  send("dragenter");
  send("dragover");
  return send("drop");
}"""


def jpeg(image):
    return cv2.imencode(".jpg", image)[1].tobytes()


def upload(page, tab, data, name="a picture.jpg"):
    page.set_input_files(f"#{tab} input", {"name": name, "mimeType": "", "buffer": data})


@pytest.fixture(scope="module")
def site(tmp_path_factory, light_four_block):
    with browsing.site(tmp_path_factory.mktemp("server"), light_four_block) as site:
        yield site


@pytest.fixture
def picture(site):
    with site.visit("image", viewport={"width": 1200, "height": 850}) as page:
        yield page


@pytest.fixture
def video(site):
    with site.visit("video") as page:
        yield page


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """film(frames): the path of a video of the astronaut, who moves to the right."""
    small, folder = cv2.resize(portrait.astronaut(), (256, 256)), tmp_path_factory.mktemp("films")

    def make(frames):
        path = folder / f"{frames}.avi"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), FPS, (320, 256))
        for i in range(frames):
            image = np.full((256, 320, 3), 90, np.uint8)
            image[:, i % 64 : i % 64 + 256] = small
            writer.write(image)
        writer.release()
        return path

    return make


def downloaded(page, selector):
    with page.expect_download() as caught:
        page.click(selector)
    return caught.value.suggested_filename, caught.value.path().read_bytes()


def answer_of(page, site, data):
    """What a program gets for the same picture."""
    file = {"name": "x.jpg", "mimeType": "image/jpeg", "buffer": data}
    return page.request.post(f"{site.address}/predict", multipart={"image": file}).json()


def marked(page, box, size):
    """True if the first face's box is drawn where a box of a picture of some size is."""
    left, _, _, bottom = browsing.drawn(page, "#image canvas", FIRST)
    thick = 8
    return abs(left * size[0] - box.x) < thick and abs(bottom * size[1] - box.y - box.height) < thick


class TestPicture:
    def test_original_and_labelled_table_bars_and_downloads(self, picture, site):
        data = jpeg(portrait.astronaut())
        upload(picture, "image", data)
        browsing.status(picture, "image", "1 face found", problem=False)
        answer = answer_of(picture, site, data)
        (face,) = answer["faces"]
        box = Box(*(face[side] for side in ("x", "y", "width", "height")))
        assert box.overlap(portrait.PLACE) > 0.4
        assert marked(picture, box, (512, 512))

        original, labelled = (picture.locator(f"#image {kind}").bounding_box() for kind in ("img", "canvas"))
        assert original["x"] + original["width"] <= labelled["x"]
        assert original["y"] == labelled["y"]
        assert picture.eval_on_selector("#image img", "(image) => image.naturalWidth") == 512

        cells = picture.locator("#image tbody td").all_inner_texts()
        percent = f"{100 * face['confidence']:.0f} %"
        assert cells == ["1", face["label"], percent, *(str(face[side]) for side in ("x", "y", "width", "height"))]
        (bars,) = browsing.bars(picture, "image")
        assert bars["title"] == f"Face 1: {face['label']} {percent}"
        assert set(bars["shares"]) == set(FER2013)
        for label, width in zip(bars["shares"], bars["widths"], strict=True):
            assert width == pytest.approx(100 * face["probabilities"][label], abs=0.01)

        name, text = downloaded(picture, "#image .json")
        assert (name, json.loads(text)) == ("a picture.json", answer)
        name, png = downloaded(picture, "#image .annotated")
        assert name == "a picture-labelled.png"
        assert png.startswith(b"\x89PNG")
        pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
        assert pixels.shape == (512, 512, 3)
        assert pixels[box.y + box.height, box.x + box.width // 2].tolist() == list(FIRST[::-1])

    @pytest.mark.parametrize("how", ["paste", "drop"])
    def test_a_picture_can_be_pasted_and_dropped(self, picture, how):
        data = base64.b64encode(jpeg(np.hstack([portrait.astronaut()] * 2))).decode()
        opened = picture.evaluate(HAND_OVER, [how, data, "two.jpg", "image/jpeg"])
        browsing.status(picture, "image", "2 faces found")
        assert how == "paste" or not opened
        assert picture.locator("#image tbody tr").count() == 2
        titles = [face["title"][:6] for face in browsing.bars(picture, "image")]
        assert titles == ["Face 1", "Face 2"]

    def test_a_picture_that_a_phone_held_upright_is_marked_where_the_face_is(self, picture):
        image = pytest.importorskip("PIL.Image")
        upright = portrait.astronaut()[:400]
        lying = image.fromarray(cv2.cvtColor(cv2.rotate(upright, cv2.ROTATE_90_COUNTERCLOCKWISE), cv2.COLOR_BGR2RGB))
        exif = image.Exif()
        exif[0x0112] = 6  # turn by 90 degrees clockwise to see it
        path = io.BytesIO()
        lying.save(path, "jpeg", exif=exif, quality=95)
        upload(picture, "image", path.getvalue())
        browsing.status(picture, "image", "1 face found")
        assert picture.eval_on_selector("#image canvas", "(it) => [it.width, it.height]") == [512, 400]
        x, y, width, height = map(int, picture.locator("#image tbody td").all_inner_texts()[3:])
        assert Box(x, y, width, height).overlap(portrait.PLACE) > 0.4
        assert marked(picture, Box(x, y, width, height), (512, 400))

    def test_a_picture_that_is_dropped_beside_the_field_is_taken_too(self, picture):
        data = base64.b64encode(jpeg(portrait.astronaut())).decode()
        beside = HAND_OVER.replace("section:not([hidden]) .drop", "footer")
        opened = picture.evaluate(beside, ["drop", data, "a.jpg", ""])
        browsing.status(picture, "image", "1 face found")
        assert not opened
        assert not picture.inner_text("#video .status")  # the other tab with a field is out of sight

    def test_a_picture_that_the_browser_does_not_turn_is_not_marked_in_the_wrong_place(self, picture):
        image = pytest.importorskip("PIL.Image")
        exif, path = image.Exif(), io.BytesIO()
        exif[0x0112] = 6
        image.new("RGB", (40, 30)).save(path, "webp", exif=exif)  # Chromium leaves these as they lie
        upload(picture, "image", path.getvalue(), "a.webp")
        browsing.status(picture, "image", "This browser does not turn the picture upright", problem=True)
        assert not picture.is_visible("#image .result")

    def test_a_large_picture_is_marked_on_a_canvas_that_phones_can_draw(self, picture, draw):
        upload(picture, "image", jpeg(draw(1, 300, 6000)))
        browsing.status(picture, "image", "No face found")
        assert picture.eval_on_selector("#image canvas", "(it) => [it.width, it.height]") == [4096, 205]

    def test_a_picture_without_a_face_is_shown_and_told(self, picture, draw):
        upload(picture, "image", jpeg(draw(1, 300, 400)))
        browsing.status(picture, "image", "No face found", problem=False)
        assert picture.is_visible("#image canvas")
        assert not picture.is_visible("#image table")
        assert browsing.bars(picture, "image") == []

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"hello", "not an image in one of these formats: JPEG, PNG, WEBP, BMP"),
            (b"", "the file is empty (0 bytes)"),
        ],
    )
    def test_what_is_no_picture_is_refused_in_one_line(self, picture, data, words):
        upload(picture, "image", jpeg(portrait.astronaut()))
        browsing.status(picture, "image", "1 face found")
        upload(picture, "image", data)
        browsing.status(picture, "image", words, problem=True)
        assert not picture.is_visible("#image .result")  # the earlier picture's answer is not taken for this one's

    @pytest.mark.parametrize(("tab", "megabytes"), [("image", 10), ("video", 200)])
    def test_a_file_that_is_too_large_is_not_even_sent(self, site, tmp_path, tab, megabytes):
        path = tmp_path / "large.jpg"
        with path.open("wb") as file:
            file.truncate(megabytes * 2**20 + 2**20)
        with site.visit(tab) as page:
            sent = []
            page.on("request", lambda request: sent.append(request.method))
            page.set_input_files(f"#{tab} input", path)
            words = f"The file has {megabytes + 1} MB; {megabytes} MB are the most"
            browsing.status(page, tab, words, problem=True)
            assert "POST" not in sent

    @pytest.mark.parametrize("tab", ["image", "video"])
    def test_a_busy_server_is_told(self, site, tab):
        with site.visit(tab) as page:
            refusal = {"status": 429, "json": {"detail": "busy: 16 pictures at once are served"}}
            page.route("**/predict", lambda route: route.fulfill(**refusal))
            page.route("**/videos", lambda route: route.fulfill(**refusal))
            upload(page, tab, jpeg(portrait.astronaut()))
            browsing.status(page, tab, "busy: 16 pictures at once are served", problem=True)


class TestVideo:
    def test_a_video_comes_back_playable_with_timeline_and_table(self, video, site, film):
        video.set_input_files("#video input", film(30))
        video.wait_for_selector("#video .result")
        assert not video.is_visible("#video .work")
        video.eval_on_selector("#video video", "(it) => { it.muted = true; return it.play(); }")
        browsing.until(video, "document.querySelector('#video video').currentTime > 0.3")
        state = "(it) => [it.error, it.videoWidth, it.videoHeight, it.duration, it.readyState >= 2]"
        *size, seconds, ready = video.eval_on_selector("#video video", state)
        assert (size, ready) == ([None, 320, 256], True)
        assert seconds == pytest.approx(30 / FPS, abs=0.2)
        browsing.until(video, "document.querySelector('#video .timeline').naturalWidth > 300")
        assert "30" in video.inner_text("#video .summary")

        name, text = downloaded(video, "#video .rows")
        rows = list(csv.DictReader(text.decode().splitlines()))
        assert name == "expressions.csv"
        assert [int(row["index"]) for row in rows if row["face"] in ("0", "1", "")][:30] == list(range(30))
        assert sum(row["status"] == "ok" for row in rows) > 20
        name, data = downloaded(video, "#video .film")
        assert (name, data[4:8]) == ("labelled.mp4", b"ftyp")

        place = video.get_attribute("#video .rows", "href").rpartition("/")[0]
        assert site.files()
        video.goto("about:blank")  # who leaves the page takes the video along
        browsing.eventually(lambda: video.request.get(site.address + place).status == 404, "the video is kept")

    def test_progress_is_shown_and_cancel_forgets_the_video(self, video, site, film):
        with video.expect_request("**/videos/*") as question:
            video.set_input_files("#video input", film(600))
        place = question.value.url
        browsing.until(video, "document.querySelector('#video progress').value > 0")
        browsing.status(video, "video", " of 600 frames, ", problem=False)
        assert video.eval_on_selector("#video progress", "(bar) => bar.value < 1 && bar.clientHeight > 8")
        assert video.get_attribute("#video .status", "aria-live") == "off"  # figures that change are not read out
        assert video.request.get(place).json()["state"] == "working"
        video.click("#video .cancel")
        browsing.status(video, "video", "Cancelled; nothing of the video is left on the server", problem=False)
        assert video.get_attribute("#video .status", "aria-live") == "polite"
        browsing.eventually(lambda: video.request.get(place).status == 404, "the video is kept")
        browsing.eventually(lambda: not site.files(), "its files are kept")
        assert not video.is_visible("#video .work")
        time.sleep(0.6)  # a question that was on its way changes nothing any more
        browsing.status(video, "video", "Cancelled")

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"<html>hello, hello</html>", "not a video in one of these formats: MP4, MOV, WebM, MKV, AVI, MPEG"),
            (b"RIFF\xff\xff\0\0AVI LIST" + bytes(500), "not a video that can be read"),  # begins like one
        ],
    )
    def test_what_is_no_video_is_refused_in_one_line(self, video, site, data, words):
        upload(video, "video", data, "film.mp4")
        said = browsing.status(video, "video", words, problem=True)
        assert str(site.temporary) not in said
        assert not video.is_visible("#video .work")
        assert not video.is_visible("#video .result")


class TestCameraTab:
    def test_without_cameras_it_says_how_there_would_be_some(self, site):
        with site.visit("camera") as page:
            browsing.status(page, "camera", "--camera NAME=URL", problem=False)
            assert not page.is_visible("#camera button")


# Visible texts, and the contrast of each with what is behind it: at least 4.5 (WCAG 2.2, 1.4.3).
CONTRASTS = """() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const linear = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = (color) => {
    const [red, green, blue] = numbers(color).map(linear);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = (element) => {
    const color = getComputedStyle(element).backgroundColor;
    return numbers(color)[3] === 0 && element.parentElement ? behind(element.parentElement) : color;
  };
  const bare = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  return [...document.body.querySelectorAll("*")].filter((element) => bare(element) && element.checkVisibility())
    .map((element) => {
      const [a, b] = [light(getComputedStyle(element).color), light(behind(element))].sort((x, y) => y - x);
      return [element.textContent.trim().slice(0, 40), (a + 0.05) / (b + 0.05)];
    });
}"""
# Visible controls, and the shorter side of each: at least 24 pixels (WCAG 2.2, 2.5.8).
CONTROLS = """() => [...document.querySelectorAll("button, select, .button, .drop, label:has([type=checkbox]), video")]
  .filter((element) => element.checkVisibility()).map((element) => {
    const {width, height} = element.getBoundingClientRect();
    return [element.textContent.trim(), Math.min(width, height)];
  })"""
FOCUS = """() => {
  const style = getComputedStyle(document.activeElement.closest(".drop") ?? document.activeElement);
  return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
}"""


@pytest.mark.parametrize("size", [(360, 740), (1200, 850)], ids=["phone", "desktop"])
def test_every_tab_fits_can_be_hit_and_can_be_read(site, film, size):
    viewport = {"width": size[0], "height": size[1]}
    with site.visit("webcam", viewport=viewport, permissions=[]) as page:
        page.click("#webcam .start")
        browsing.until(page, "document.querySelector('#webcam .status').matches('.problem')")
        upload(page, "image", jpeg(np.hstack([portrait.astronaut()] * 2)))
        page.set_input_files("#video input", film(10))
        browsing.status(page, "image", "2 faces found")
        browsing.until(page, "!document.querySelector('#video .result').hidden")
        for scheme, tab in itertools.product(("light", "dark"), browsing.NAMES):
            page.emulate_media(color_scheme=scheme)
            page.click(f"#tab-{tab}")
            dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(20, 23, 28)"
            assert dark is (scheme == "dark")
            assert [name for name in browsing.NAMES if page.is_visible(f"#{name}")] == [tab]
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), tab
            if tab == "image":  # nor is a column of the table out of sight
                assert page.eval_on_selector("#image .scroll", "(it) => it.scrollWidth <= it.clientWidth")
            if tab == "video":  # whose words are too small where the plot is narrower
                assert page.locator("#video .timeline").bounding_box()["width"] >= 570
            texts, controls = page.evaluate(CONTRASTS), page.evaluate(CONTROLS)
            assert len(texts) > 8
            assert len(controls) >= 4
            assert not [text for text in texts if text[1] < 4.5], tab
            assert not [control for control in controls if control[1] < 24], tab


def test_everything_is_reached_by_keyboard_and_the_focus_is_seen(site):
    with site.visit("webcam", viewport={"width": 360, "height": 500}) as page:
        assert page.evaluate("scrollY") == 0  # an address that names a tab jumps over nothing
        page.keyboard.press("Tab")
        for key, tab in (("ArrowRight", "camera"), ("End", "video"), ("ArrowRight", "webcam"), ("ArrowLeft", "video")):
            page.keyboard.press(key)
            assert page.evaluate("document.activeElement.id") == f"tab-{tab}"
            assert page.get_attribute(f"#tab-{tab}", "aria-selected") == "true"
            assert page.is_visible(f"#{tab}")
            assert page.evaluate(FOCUS)
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Tab")  # one stop for all tabs, then the field for a file
        assert page.evaluate("document.activeElement.matches('#image input')")
        assert page.evaluate(FOCUS)
        page.reload()
        page.locator("#model", has_text="four-block").wait_for()
        assert page.is_visible("#image")


def test_it_says_what_it_is_not_and_what_becomes_of_pictures(site):
    with site.visit() as page:
        footer = page.inner_text("footer")
        assert "does not read minds" in footer
        assert "stay in this server's memory" in footer
        assert "15 minutes" in footer
