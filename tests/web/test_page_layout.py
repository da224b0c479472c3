"""Every tab in Chromium on a phone and on a desktop, light and dark: size, contrast, keyboard, words."""

import itertools

import cv2
import numpy as np
import pytest
from support import browsing, portrait

pytestmark = pytest.mark.browser

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


def encode_jpeg(image):
    return cv2.imencode(".jpg", image)[1].tobytes()


@pytest.mark.parametrize("size", [(360, 740), (1200, 850)], ids=["phone", "desktop"])
def test_every_tab_fits_and_is_legible(site, page_video, size):
    viewport = {"width": size[0], "height": size[1]}
    with site.visit("webcam", viewport=viewport, permissions=[]) as page:
        page.click("#webcam .start")
        browsing.until(page, "document.querySelector('#webcam .status').matches('.problem')")
        browsing.upload(page, "image", encode_jpeg(np.hstack([portrait.astronaut()] * 2)))
        page.set_input_files("#video input", page_video(10))
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
                if not page.is_visible("#image table"):  # folded on a phone
                    page.click("#image summary")
                assert page.eval_on_selector("#image .scroll", "(it) => it.scrollWidth <= it.clientWidth")
            if tab == "video":  # whose words are too small where the plot is narrower
                assert page.locator("#video .timeline").bounding_box()["width"] >= 570
            texts, controls = page.evaluate(CONTRASTS), page.evaluate(CONTROLS)
            assert len(texts) > 8
            assert len(controls) >= 4
            assert not [text for text in texts if text[1] < 4.5], tab
            assert not [control for control in controls if control[1] < 24], tab


def test_keyboard_reaches_everything_and_focus_is_visible(site):
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


def test_limits_and_privacy_are_stated(site):
    with site.visit() as page:
        footer = page.inner_text("footer")
        assert "does not read minds" in footer
        assert "stay in this server's memory" in footer
        assert "15 minutes" in footer


def test_idle_webcam_leaves_no_hole(site):
    with site.visit("webcam", viewport={"width": 1200, "height": 850}, permissions=["camera"]) as page:
        stage, faces = (page.locator(f"#webcam {part}").bounding_box() for part in (".stage", ".faces"))
        assert faces["x"] > stage["x"] + stage["width"]
        assert faces["height"] > 100
        assert stage["width"] / stage["height"] == pytest.approx(16 / 9, abs=0.02)


# Calls drawFaces with a stand-in for a canvas; gives what was written and the rectangle behind each text.
LABELS = """async ([faces, width, height]) => {
  const { drawFaces } = await import("/static/draw.js");
  const found = [];
  let rectangle;
  const context = {
    measureText: (text) => ({ width: 12 * text.length }), strokeRect() {}, fillRect: (...all) => (rectangle = all),
    fillText: (text) => found.push([text, rectangle]),
  };
  drawFaces({ width, height, clientWidth: width, getContext: () => context }, { faces, width, height });
  return found;
}"""


def face(x, y, side=60, **more):
    return {"x": x, "y": y, "width": side, "height": side, "label": "happy", "confidence": 0.98, **more}


def overlap(a, b):
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def test_labels_of_neighbours_do_not_cover_each_other(site):
    with site.visit() as page:
        row = [face(40 + 90 * i, 100) for i in range(6)]
        labels = page.evaluate(LABELS, [row, 640, 400])
        assert len(labels) == 6
        for first, second in itertools.combinations(labels, 2):
            assert not overlap(first[1], second[1])
        assert sum("happy" in text for text, _ in labels) >= 2

        crowd = [face(10 + 70 * i, 10 + 70 * j) for i in range(8) for j in range(5)]
        labels = page.evaluate(LABELS, [crowd, 640, 400])
        assert any(text.isdecimal() for text, _ in labels)  # the bars below say what each number stands for

        crowd = [face(4 + 33 * i, 20 + 33 * j, 30) for i in range(9) for j in range(3)]  # as on a phone
        labels = page.evaluate(LABELS, [crowd, 300, 130])
        assert [text for text, _ in labels] == [str(i + 1) for i in range(27)]


def test_uncertain_is_shown_and_paler(site):
    with site.visit("image") as page:
        shares = {"happy": 0.34, "sad": 0.33, "angry": 0.33}
        unsure = {**face(100, 100), "confidence": 0.34, "probabilities": shares, "uncertain": True}
        answer = {"emotion": "happy", "faces": [unsure], "width": 512, "height": 512}
        page.route("**/predict", lambda route: route.fulfill(json=answer))
        browsing.upload(page, "image", encode_jpeg(portrait.astronaut()))
        browsing.status(page, "image", "1 face found")
        (bars,) = browsing.bars(page, "image")
        assert bars["title"] == "Face 1: uncertain (happy 34 %)"
        assert page.locator("#image tbody td").all_inner_texts()[1] == "uncertain (happy)"
        assert page.eval_on_selector("#image .face", "(it) => getComputedStyle(it).borderLeftStyle") == "dashed"
        ((text, _),) = page.evaluate(LABELS, [[unsure], 512, 512])
        assert text == "1: uncertain"


def test_bar_of_zero_percent_is_empty(site):
    with site.visit("image") as page:
        browsing.upload(page, "image", encode_jpeg(portrait.astronaut()))
        browsing.status(page, "image", "1 face found")
        (bars,) = browsing.bars(page, "image")
        for share, width in zip(bars["shares"].values(), bars["widths"], strict=True):
            assert (share == 0) == (width == 0)
