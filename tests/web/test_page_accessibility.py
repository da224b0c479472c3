"""axe-core finds nothing on any tab, idle or with results; live results are announced; reduced motion and zoom."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from support import browsing, portrait

pytestmark = pytest.mark.browser

# What axe reports: rule, impact and the elements.
RUN = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
  .map(({id, impact, nodes}) => [id, impact, nodes.map(({html}) => html.slice(0, 80))])"""


@pytest.fixture(scope="module")
def axe():
    package = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    (script,) = Path(package.__file__).parent.rglob("axe.min.js")
    return script.read_text(encoding="utf-8")


def violations(page, axe):
    page.evaluate(axe + "; null")
    return page.evaluate(RUN)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_axe_finds_nothing_on_any_tab(site, page_video, axe, width, scheme):
    images = [cv2.imencode(".jpg", np.hstack([portrait.astronaut()] * count))[1].tobytes() for count in (1, 2)]
    with site.visit("webcam", viewport={"width": width, "height": 800}, color_scheme=scheme) as page:
        for tab in browsing.NAMES:
            page.click(f"#tab-{tab}")
            assert violations(page, axe) == [], tab
        page.set_input_files("#video input", page_video(10))
        page.click("#tab-image")
        browsing.upload(page, "image", images[1])
        browsing.status(page, "image", "2 faces found")
        assert violations(page, axe) == []
        chosen = [{"name": f"{i}.jpg", "mimeType": "", "buffer": data} for i, data in enumerate(images)]
        page.set_input_files("#image input[type=file]", chosen)
        browsing.status(page, "image", "2 images labelled")
        assert violations(page, axe) == []
        page.click("#tab-video")
        browsing.until(page, "!document.querySelector('#video .result').hidden")
        assert violations(page, axe) == []


def test_results_are_announced_politely(site):
    with site.visit("image") as page:
        assert page.get_attribute("#image .status", "role") == "status"
        browsing.upload(page, "image", cv2.imencode(".jpg", portrait.astronaut())[1].tobytes())
        browsing.status(page, "image", "1 face found")
        assert page.get_attribute("#image .status", "aria-live") in (None, "polite")


def test_zoom_of_200_percent_and_reduced_motion(site):
    """A window of 1,280 pixels at 200 % has 640 of the page's pixels."""
    with site.visit("image", viewport={"width": 640, "height": 400}, reduced_motion="reduce") as page:
        page.click("#image .example")
        browsing.status(page, "image", "found")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        transition = "(it) => getComputedStyle(it).transitionDuration"
        assert page.eval_on_selector("#image .bar > div", transition) == "0s"
