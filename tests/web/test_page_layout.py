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


class TestCameraTab:
    def test_without_cameras(self, site):
        with site.visit("camera") as page:
            browsing.status(page, "camera", "--camera NAME=URL", problem=False)
            assert not page.is_visible("#camera button")
