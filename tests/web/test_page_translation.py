"""The page with a translation that marks every word: what is not marked stands outside of strings.json."""

import json
import re

import cv2
import numpy as np
import pytest
from support import browsing, portrait

from fer.core.labels import FER2013
from fer.web.strings import read_strings

pytestmark = pytest.mark.browser

# All texts, and attributes that are read out, of the elements in sight.
TEXTS = """() => [...document.body.querySelectorAll("*")].filter((element) => element.checkVisibility())
  .flatMap((element) => [
    ...[...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data),
    ...["aria-label", "alt", "title", "data-empty"].map((name) => element.getAttribute(name) ?? ""),
  ]).map((text) => text.trim()).filter((text) => /[a-z]{2}/i.test(text))"""


def marked(words):
    return {form: f"⟦{text}⟧" for form, text in words.items()} if isinstance(words, dict) else f"⟦{words}⟧"


@pytest.fixture(scope="module")
def translated(tmp_path_factory, light_four_block):
    folder = tmp_path_factory.mktemp("words")
    path = folder / "strings.json"
    strings = {key: marked(words) if key != "language" else words for key, words in read_strings().items()}
    path.write_text(json.dumps(strings), encoding="utf-8")
    flags = ("--strings", path, "--camera", "desk=98", "--collect", folder / "corrected")
    with browsing.site(tmp_path_factory.mktemp("server"), light_four_block, *map(str, flags)) as site:
        yield site


def test_every_word_is_translated(translated, page_video):
    data = cv2.imencode(".jpg", np.hstack([portrait.astronaut()] * 2))[1].tobytes()
    with translated.visit("webcam", permissions=[]) as page:
        own = {*FER2013, "desk", page.inner_text("#model"), "a.jpg", "b.jpg"}

        def check(tab):
            texts = [re.sub(r" \d+\s%$", "", text) for text in page.evaluate(TEXTS)]  # the labels are the model's
            unmarked = [text for text in texts if "⟦" not in text and text not in own]
            assert not unmarked, (tab, unmarked)

        for tab in browsing.NAMES:
            page.click(f"#tab-{tab}")
            check(tab)
        page.click("#tab-webcam")
        page.click("#webcam .start")
        browsing.until(page, "document.querySelector('#webcam .status').matches('.problem')")
        check("webcam")
        page.click("#tab-camera")
        page.click("#camera .start")
        page.locator("#camera .stop").wait_for()
        page.click("#camera .stop")  # before the server, whose lines stay English, finds that there is no camera
        check("camera")
        page.click("#tab-image")
        browsing.upload(page, "image", data)
        browsing.status(page, "image", "⟦2 faces found⟧")
        page.locator("#image .face summary").nth(0).click()
        check("image")
        files = [{"name": name, "mimeType": "", "buffer": data} for name in ("a.jpg", "b.jpg")]
        page.set_input_files("#image input[type=file]", files)
        browsing.status(page, "image", "⟦2 images labelled")
        check("image")
        page.set_input_files("#video input", page_video(10))
        page.click("#tab-video")
        browsing.until(page, "!document.querySelector('#video .result').hidden")
        page.evaluate("document.querySelector('#video .summary').textContent = ''")  # the server's, as in the CLI
        check("video")
