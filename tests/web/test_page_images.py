"""The Image tab in Chromium: chosen, pasted and dropped images, downloads, and what is refused."""

import base64
import io
import json

import cv2
import numpy as np
import pytest
from support import browsing, portrait

from fer.core.labels import FER2013
from fer.inference.faces import Box

pytestmark = pytest.mark.browser

FIRST = (60, 170, 255)  # RGB of the first face's box


def encode_jpeg(image):
    return cv2.imencode(".jpg", image)[1].tobytes()


@pytest.fixture
def image_tab(site):
    with site.visit("image", viewport={"width": 1200, "height": 850}) as page:
        yield page


def answer_of(page, site, data):
    """What a program gets for the same image."""
    file = {"name": "x.jpg", "mimeType": "image/jpeg", "buffer": data}
    return page.request.post(f"{site.address}/predict", multipart={"image": file}).json()


def marked(page, box, size):
    """True if the first face's box is drawn where a box of an image of some size is."""
    left, _, _, bottom = browsing.drawn(page, "#image canvas", FIRST)
    thick = 8
    return abs(left * size[0] - box.x) < thick and abs(bottom * size[1] - box.y - box.height) < thick


class TestImage:
    def test_original_and_labelled_table_bars_and_downloads(self, image_tab, site):
        data = encode_jpeg(portrait.astronaut())
        browsing.upload(image_tab, "image", data)
        browsing.status(image_tab, "image", "1 face found", problem=False)
        answer = answer_of(image_tab, site, data)
        (face,) = answer["faces"]
        box = Box(*(face[side] for side in ("x", "y", "width", "height")))
        assert box.overlap(portrait.PLACE) > 0.4
        assert marked(image_tab, box, (512, 512))

        original, labelled = (image_tab.locator(f"#image .pair {kind}").bounding_box() for kind in ("img", "canvas"))
        assert original["x"] + original["width"] <= labelled["x"]
        assert original["y"] == labelled["y"]
        assert image_tab.eval_on_selector("#image .pair img", "(image) => image.naturalWidth") == 512

        cells = image_tab.locator("#image tbody td").all_inner_texts()
        percent = f"{100 * face['confidence']:.0f} %"
        assert cells == ["1", face["label"], percent, *(str(face[side]) for side in ("x", "y", "width", "height"))]
        (bars,) = browsing.bars(image_tab, "image")
        assert bars["title"] == f"Face 1: {face['label']} {percent}"
        assert set(bars["shares"]) == set(FER2013)
        for label, width in zip(bars["shares"], bars["widths"], strict=True):
            share = face["probabilities"][label]
            assert width == pytest.approx(100 * share if share >= 0.005 else 0, abs=0.01)

        name, text = browsing.downloaded(image_tab, "#image .result .json")
        assert (name, json.loads(text)) == ("an image.json", answer)
        name, png = browsing.downloaded(image_tab, "#image .annotated")
        assert name == "an image-labelled.png"
        assert png.startswith(b"\x89PNG")
        pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
        assert pixels.shape == (512, 512, 3)
        assert pixels[box.y + box.height, box.x + box.width // 2].tolist() == list(FIRST[::-1])

    @pytest.mark.parametrize("how", ["paste", "drop"])
    def test_paste_and_drop(self, image_tab, how):
        data = base64.b64encode(encode_jpeg(np.hstack([portrait.astronaut()] * 2))).decode()
        opened = image_tab.evaluate(browsing.HAND_OVER, [how, data, "two.jpg", "image/jpeg"])
        browsing.status(image_tab, "image", "2 faces found")
        assert how == "paste" or not opened
        assert image_tab.locator("#image tbody tr").count() == 2
        titles = [face["title"][:6] for face in browsing.bars(image_tab, "image")]
        assert titles == ["Face 1", "Face 2"]

    def test_exif_orientation_is_applied(self, image_tab):
        image = pytest.importorskip("PIL.Image")
        upright = portrait.astronaut()[:400]
        lying = image.fromarray(cv2.cvtColor(cv2.rotate(upright, cv2.ROTATE_90_COUNTERCLOCKWISE), cv2.COLOR_BGR2RGB))
        exif = image.Exif()
        exif[0x0112] = 6  # turn by 90 degrees clockwise to see it
        path = io.BytesIO()
        lying.save(path, "jpeg", exif=exif, quality=95)
        browsing.upload(image_tab, "image", path.getvalue())
        browsing.status(image_tab, "image", "1 face found")
        assert image_tab.eval_on_selector("#image canvas", "(it) => [it.width, it.height]") == [512, 400]
        x, y, width, height = map(int, image_tab.locator("#image tbody td").all_inner_texts()[3:])
        assert Box(x, y, width, height).overlap(portrait.PLACE) > 0.4
        assert marked(image_tab, Box(x, y, width, height), (512, 400))

    def test_drop_beside_the_field(self, image_tab):
        data = base64.b64encode(encode_jpeg(portrait.astronaut())).decode()
        beside = browsing.HAND_OVER.replace("section:not([hidden]) .drop", "footer")
        opened = image_tab.evaluate(beside, ["drop", data, "a.jpg", ""])
        browsing.status(image_tab, "image", "1 face found")
        assert not opened
        assert not image_tab.inner_text("#video .status")  # the other tab with a field is out of sight

    def test_orientation_that_the_browser_ignores_is_refused(self, image_tab):
        image = pytest.importorskip("PIL.Image")
        exif, path = image.Exif(), io.BytesIO()
        exif[0x0112] = 6
        image.new("RGB", (40, 30)).save(path, "webp", exif=exif)  # Chromium leaves these as they lie
        browsing.upload(image_tab, "image", path.getvalue(), "a.webp")
        browsing.status(image_tab, "image", "This browser does not turn the image upright", problem=True)
        assert not image_tab.is_visible("#image .result")

    def test_canvas_size_is_limited(self, image_tab, draw):
        browsing.upload(image_tab, "image", encode_jpeg(draw(1, 300, 6000)))
        browsing.status(image_tab, "image", "No face found")
        assert image_tab.eval_on_selector("#image canvas", "(it) => [it.width, it.height]") == [4096, 205]

    def test_image_without_a_face(self, image_tab, draw):
        browsing.upload(image_tab, "image", encode_jpeg(draw(1, 300, 400)))
        browsing.status(image_tab, "image", "No face found", problem=False)
        assert image_tab.is_visible("#image canvas")
        assert not image_tab.is_visible("#image table")
        assert browsing.bars(image_tab, "image") == []

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"hello", "not an image in one of these formats: JPEG, PNG, WEBP, BMP"),
            (b"", "the file is empty (0 bytes)"),
        ],
    )
    def test_other_files_are_refused_in_one_line(self, image_tab, data, words):
        browsing.upload(image_tab, "image", encode_jpeg(portrait.astronaut()))
        browsing.status(image_tab, "image", "1 face found")
        browsing.upload(image_tab, "image", data)
        browsing.status(image_tab, "image", words, problem=True)
        assert not image_tab.is_visible("#image .result")  # the earlier image's answer is not taken for this one's


@pytest.mark.parametrize(("tab", "megabytes"), [("image", 10), ("video", 200)])
def test_large_file_is_not_sent(site, tmp_path, tab, megabytes):
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.truncate(megabytes * 2**20 + 2**20)
    with site.visit(tab) as page:
        sent = []
        page.on("request", lambda request: sent.append(request.method))
        page.set_input_files(f"#{tab} input", path)
        words = f"The file has {megabytes + 1} MB; the limit is {megabytes} MB"
        browsing.status(page, tab, words, problem=True)
        assert "POST" not in sent


@pytest.mark.parametrize("tab", ["image", "video"])
def test_busy_server_is_reported(site, tab):
    with site.visit(tab) as page:
        refusal = {"status": 429, "json": {"detail": "busy: 16 images at once are served"}}
        page.route("**/predict", lambda route: route.fulfill(**refusal))
        page.route("**/videos", lambda route: route.fulfill(**refusal))
        browsing.upload(page, tab, encode_jpeg(portrait.astronaut()))
        browsing.status(page, tab, "busy: 16 images at once are served", problem=True)


@pytest.mark.parametrize("explains", [True, False])
def test_reasons_are_offered_where_the_server_explains(site, explains):
    with site.visit("image") as page:
        health = page.request.get(f"{site.address}/health").json()
        page.route("**/health", lambda route: route.fulfill(json=health | {"explains": explains}))
        page.reload()
        page.locator("#model", has_text=site.model).wait_for()  # it takes files from now on
        browsing.upload(page, "image", encode_jpeg(portrait.astronaut()))
        browsing.status(page, "image", "1 face found")
        assert page.locator("#image .why").count() == explains
