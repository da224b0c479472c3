"""The button "Why ...?" in Chromium: a heat map over the face of an image."""

import cv2
import numpy as np
import pytest
from support import browsing, portrait, tiny

pytestmark = pytest.mark.browser

# The pixels of the labelled copy within a box.
PIXELS = """([canvas, {x, y, width, height}]) =>
  [...document.querySelector(canvas).getContext("2d").getImageData(x, y, width, height).data]"""


@pytest.fixture(scope="module", params=["four-block.keras", "fer2013.tflite"])
def explaining(tmp_path_factory, request):
    if request.param.endswith(".tflite"):  # explained by its .keras file
        pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    with browsing.site(tmp_path_factory.mktemp("server"), tiny.ROOT / "models" / request.param) as site:
        yield site


def upload(page, image):
    browsing.upload(page, "image", cv2.imencode(".png", image)[1].tobytes())


def inside(page, face):
    """uint8 (n, n, 4): the middle of a face on the labelled copy, where no line is drawn."""
    box = {"x": face.x + 10, "y": face.y + 10, "width": face.width - 20, "height": face.height - 20}
    values = np.array(page.evaluate(PIXELS, ["#image .pair canvas", box]))
    return values.reshape(box["height"], box["width"], 4).astype(int)


def test_heat_map_lies_over_its_face_and_goes_again(explaining):
    with explaining.visit("image") as page:
        upload(page, np.hstack([portrait.astronaut(), portrait.astronaut()]))
        browsing.status(page, "image", "2 faces found")
        place = portrait.PLACE
        before = inside(page, place)
        buttons = page.locator("#image .why")
        assert buttons.count() == 2
        left = 0 if page.locator("#image tbody tr").nth(0).locator("td").nth(3).inner_text() < "400" else 1
        buttons.nth(left).press("Enter")
        browsing.status(page, "image", "the more it speaks for", problem=False)
        after = inside(page, place)
        assert np.abs(after - before).max() > 60
        assert buttons.nth(left).get_attribute("aria-pressed") == "true"
        assert buttons.nth(1 - left).get_attribute("aria-pressed") == "false"
        strongest = np.abs(after - before).sum(axis=-1).argmax()
        red, green, blue, _ = after.reshape(-1, 4)[strongest]
        assert max(red, green) > blue  # viridis is yellow or green where much speaks for the label
        buttons.nth(left).click()
        browsing.until(page, "!document.querySelector('#image .why[aria-pressed=true]')")
        np.testing.assert_array_equal(inside(page, place), before)


def test_download_shows_the_heat_map(explaining):
    with explaining.visit("image") as page:
        upload(page, portrait.astronaut())
        browsing.status(page, "image", "1 face found")
        plain = browsing.downloaded(page, "#image .annotated")[1]
        address = "document.querySelector('#image .annotated').href"
        before = page.evaluate(address)
        page.click("#image .why")
        browsing.status(page, "image", "the more it speaks for")
        browsing.until(page, f"{address} !== '{before}'")
        assert browsing.downloaded(page, "#image .annotated")[1] != plain


def test_refusal_is_shown_and_the_next_click_asks_again(explaining):
    with explaining.visit("image") as page:
        upload(page, portrait.astronaut())
        browsing.status(page, "image", "1 face found")
        page.route("**/predict?explain=true", lambda route: route.fulfill(status=429, json={"detail": "busy"}))
        page.click("#image .why")
        browsing.status(page, "image", "busy", problem=True)
        page.unroute("**/predict?explain=true")
        page.click("#image .why")
        browsing.status(page, "image", "the more it speaks for", problem=False)
