"""The page in Firefox: images, a zip, and a video."""

import io
import json
import urllib.request
import zipfile

import cv2
import numpy as np
import pytest
from support import browsing, firefox, portrait, serving

pytest.importorskip("fastapi_offline", reason="requirements-app.txt is not installed")

pytestmark = pytest.mark.browser

STATUS = "document.querySelector('#{} .status').innerText"


@pytest.fixture(scope="module")
def address(light_four_block):
    with serving.serving(light_four_block) as address:
        yield address


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    """One Firefox for all tests: it takes seconds to start."""
    with firefox.page(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(tab, address):
    tab.goto("about:blank")  # else a new #/tab would not load the page again
    tab.goto(f"{address}/")
    tab.until("document.querySelector('#model').innerText.includes('four-block')")
    yield tab
    assert not tab.troubles, tab.troubles


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "face.jpg"
    cv2.imwrite(str(path), np.hstack([portrait.astronaut()] * 2))
    return path


def predict(address, path):
    """What a program gets for an image."""
    boundary = "x"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'.encode()
    body = head + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    with urllib.request.urlopen(urllib.request.Request(f"{address}/predict", body, headers), timeout=60) as answer:
        return json.load(answer)


def test_image_is_labelled(page, address, image):
    page.evaluate("document.querySelector('#tab-image').click()")
    page.choose("#image input", image)
    page.until(f"{STATUS.format('image')} === '2 faces found'")
    faces = predict(address, image)["faces"]
    titles = page.evaluate("[...document.querySelectorAll('#image h2')].map((title) => title.innerText)")
    expected = [f"{face['label']} {100 * face['confidence']:.0f} %" for face in faces]
    assert titles == [f"Face {number}: {words}" for number, words in enumerate(expected, 1)]
    bars = page.evaluate("[...document.querySelectorAll('#image .top')].map((bar) => parseFloat(bar.style.width))")
    assert bars == pytest.approx([100 * face["confidence"] for face in faces], abs=0.01)
    corner = (faces[0]["x"] + faces[0]["width"], faces[0]["y"] + faces[0]["height"] // 2)
    pixel = f"getContext('2d').getImageData({corner[0]}, {corner[1]}, 1, 1).data"
    assert page.evaluate(f"[...document.querySelector('#image .pair canvas').{pixel}]")[:3] == [60, 170, 255]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_images_of_a_zip_make_a_table(page, image, tmp_path):
    path, data = tmp_path / "images.zip", io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("b.jpg", "a.jpg"):
            archive.writestr(f"folder/{name}", image.read_bytes())
    path.write_bytes(data.getvalue())
    page.evaluate("document.querySelector('#tab-image').click()")
    page.choose("#image input", path)
    page.until(f"{STATUS.format('image')}.startsWith('2 images labelled')")
    cells = page.evaluate("[...document.querySelectorAll('#image .many tbody td')].map((cell) => cell.innerText)")
    assert [cells[1], cells[2], cells[5], cells[6]] == ["folder/a.jpg", "2", "folder/b.jpg", "2"]


def test_video_is_labelled_and_plays(page, page_video):
    page.evaluate("document.querySelector('#tab-video').click()")
    page.choose("#video input", page_video(20))
    page.until("!document.querySelector('#video .result').hidden")
    assert "faces" in page.evaluate("document.querySelector('#video .summary').innerText")
    page.until("document.querySelector('#video .timeline').naturalWidth > 300")
    video = "document.querySelector('#video video')"
    page.until(f"{video}.readyState > 1 || {video}.error")
    if page.evaluate(f"{video}.error?.code") == 4:
        pytest.skip("this Firefox plays no H.264: libavcodec is not installed")
    assert page.evaluate(f"{video}.duration") == pytest.approx(20 / browsing.FPS, abs=0.2)
    assert page.evaluate(f"{video}.videoWidth") == 320
