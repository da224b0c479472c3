"""Two models side by side in Chromium: the bars, both tables, and the CSV of many images."""

import csv
import io

import cv2
import numpy as np
import pytest
from support import browsing, portrait

from fer.models import bundled

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def two_models(tmp_path_factory, light_four_block):
    second = bundled.live_model()
    with browsing.site(tmp_path_factory.mktemp("server"), light_four_block, "--compare-model", second) as site:
        yield site


def encode(image):
    return cv2.imencode(".jpg", image)[1].tobytes()


@pytest.mark.parametrize("width", [360, 1200])
def test_both_results_of_each_face_are_shown(two_models, width):
    with two_models.visit("image", viewport={"width": width, "height": 800}) as page:
        assert "images also by fer2013-fast" in page.inner_text("#model")
        data = encode(np.hstack([portrait.astronaut()] * 2))
        file = {"name": "x.jpg", "mimeType": "image/jpeg", "buffer": data}
        faces = page.request.post(f"{two_models.address}/predict", multipart={"image": file}).json()["faces"]
        browsing.upload(page, "image", data)
        browsing.status(page, "image", "2 faces found")
        for title, face in zip(page.locator("#image .face h3").all_inner_texts(), faces, strict=True):
            assert title.startswith("fer2013-fast: ")
            assert face["compared"]["label"] in title
            assert f"{100 * face['compared']['confidence']:.0f} %" in title
        first, second = (
            one.locator("dt").all_inner_texts() for one in page.locator("#image .face >> nth=0 >> dl").all()
        )
        assert first == second  # in one order, which the files need not have
        first, second = (
            one.bounding_box() for one in page.locator("#image .face >> nth=0 >> .bar:nth-of-type(1)").all()
        )
        assert first["width"] == second["width"]
        if not page.is_visible("#image .result table"):  # folded on a phone
            page.click("#image summary")
        heads = page.locator("#image .result th").all_inner_texts()
        assert heads[1:5] == ["four-block", "Confidence", "fer2013-fast", "Confidence"]
        for row, face in enumerate(faces):
            cells = page.locator("#image .result tbody tr").nth(row).locator("td").all_inner_texts()
            assert len(cells) == len(heads)
            assert face["label"] in cells[1]
            assert face["compared"]["label"] in cells[3]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_table_and_csv_of_many_images_have_both(two_models):
    images = {"face.jpg": portrait.astronaut(), "none.jpg": np.full((300, 400, 3), 90, np.uint8)}
    with two_models.visit("image") as page:
        chosen = [{"name": name, "mimeType": "", "buffer": encode(image)} for name, image in images.items()]
        page.set_input_files("#image input[type=file]", chosen)
        browsing.status(page, "image", "2 images labelled")
        heads = page.locator("#image .many th").all_inner_texts()
        assert heads[-2:] == ["Largest face, four-block", "fer2013-fast"]
        first, none = (page.locator("#image .many tbody tr").nth(i).locator("td").all_inner_texts() for i in (0, 1))
        assert len(first) == len(none) == len(heads)
        assert "%" in first[-1]
        assert not none[-1]
        rows = list(csv.DictReader(io.StringIO(browsing.downloaded(page, "#image .many .csv")[1].decode())))
        assert rows[0]["compared_label"] in first[-1]
        assert 0 < float(rows[0]["compared_confidence"]) <= 1
        assert rows[1]["compared_label"] == ""
