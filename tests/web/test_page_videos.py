"""The Video tab in Chromium: progress, results, cancellation, and what is refused."""

import csv
import time

import pytest
from support import browsing

pytestmark = pytest.mark.browser


@pytest.fixture
def video(site):
    with site.visit("video") as page:
        yield page


class TestVideo:
    def test_video_is_playable_with_timeline_and_table(self, video, site, page_video):
        video.set_input_files("#video input", page_video(30))
        video.wait_for_selector("#video .result")
        assert not video.is_visible("#video .work")
        video.eval_on_selector("#video video", "(it) => { it.muted = true; return it.play(); }")
        browsing.until(video, "document.querySelector('#video video').currentTime > 0.3")
        state = "(it) => [it.error, it.videoWidth, it.videoHeight, it.duration, it.readyState >= 2]"
        *size, seconds, ready = video.eval_on_selector("#video video", state)
        assert (size, ready) == ([None, 320, 256], True)
        assert seconds == pytest.approx(30 / browsing.FPS, abs=0.2)
        browsing.until(video, "document.querySelector('#video .timeline').naturalWidth > 300")
        assert "30" in video.inner_text("#video .summary")

        name, text = browsing.downloaded(video, "#video .rows")
        rows = list(csv.DictReader(text.decode().splitlines()))
        assert name == "expressions.csv"
        assert [int(row["index"]) for row in rows if row["face"] in ("0", "1", "")][:30] == list(range(30))
        assert sum(row["status"] == "ok" for row in rows) > 20
        name, data = browsing.downloaded(video, "#video .copy")
        assert (name, data[4:8]) == ("labelled.mp4", b"ftyp")

        place = video.get_attribute("#video .rows", "href").rpartition("/")[0]
        assert site.files()
        video.goto("about:blank")  # leaving the page deletes the video
        browsing.eventually(lambda: video.request.get(site.address + place).status == 404, "the video is kept")

    def test_progress_and_cancellation(self, video, site, page_video):
        with video.expect_request("**/videos/*") as question:
            video.set_input_files("#video input", page_video(600))
        place = question.value.url
        browsing.until(video, "document.querySelector('#video progress').value > 0")
        browsing.status(video, "video", " of 600 frames, ", problem=False)
        assert video.eval_on_selector("#video progress", "(bar) => bar.value < 1 && bar.clientHeight > 8")
        assert video.get_attribute("#video .status", "aria-live") == "off"  # figures that change are not read out
        assert video.request.get(place).json()["state"] == "working"
        video.click("#video .cancel")
        browsing.status(video, "video", "Cancelled; the server keeps nothing of the video", problem=False)
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
    def test_other_files_are_refused_in_one_line(self, video, site, data, words):
        browsing.upload(video, "video", data, "video.mp4")
        said = browsing.status(video, "video", words, problem=True)
        assert str(site.temporary) not in said
        assert not video.is_visible("#video .work")
        assert not video.is_visible("#video .result")
