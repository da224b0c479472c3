"""Videos: queued, labelled, fetched, cancelled, deleted; and what is refused."""

import csv
import io
import os
import tempfile
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from support import portrait

pytest.importorskip("support.web", reason="requirements-app.txt is not installed")

import av
from support.web import connect, encode_video, line, plain_frames, wait

from fer.inference import drawing, results
from fer.web import private_folder

pytestmark = pytest.mark.slow


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder in which the server makes its own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """Twenty frames in two seconds, a face in them that moves to the right."""
    face, frames = cv2.resize(portrait.astronaut(), (240, 240)), []
    for i in range(20):
        frames.append(np.full((240, 321, 3), 90, np.uint8))
        frames[-1][:, 4 * i : 4 * i + 240] = face
    return encode_video(tmp_path_factory.mktemp("short") / "short.avi", frames)


class Gate:
    """A detector that finds nothing, and waits before each frame until the gate is open."""

    def __init__(self, gate):
        self.gate = gate

    def find(self, image):
        assert self.gate.wait(20)
        return []


def send(client, data):
    answer = client.post("/videos", content=data)
    assert answer.status_code == 202, answer.text
    return "/videos/" + answer.json()["id"]


def ended(client, place):
    def state():
        said = client.get(place).json()
        return said if said["state"] not in ("waiting", "working") else None

    return wait(state)


def kept(temporary):
    """What lies in the server's folder, but for its own lock. Path.rglob fails at folders removed meanwhile."""
    below = (Path(place, name) for place, folders, files in os.walk(temporary) for name in (*folders, *files))
    return [path for path in below if path.parent != temporary and path.name != private_folder.LOCK]


def test_results_of_a_video(temporary, short):
    with connect() as client:
        place = send(client, short)
        said = ended(client, place)
        assert said | {"summary": ""} == {"state": "done", "frames": 20, "total": 20, "detail": "", "summary": ""}
        assert said["summary"].startswith("20 frames, ")
        answer = client.get(place + "/annotated.mp4")
        assert answer.headers["content-type"] == "video/mp4"
        with av.open(io.BytesIO(answer.content)) as video:
            stream = video.streams.video[0]
            assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
            assert (stream.width, stream.height) == (320, 240)  # of 321: H.264 counts in pairs
            times = [float(frame.time) for frame in video.decode(stream)]
        assert times == pytest.approx([i / 10 for i in range(20)], abs=0.002)
        assert client.get(place + "/timeline.png").content.startswith(b"\x89PNG")
        table = client.get(place + "/rows.csv")
        assert table.headers["content-type"].startswith("text/csv")
        (temporary / "rows.csv").write_text(table.text)
        rows = list(results.read(temporary / "rows.csv"))
        (temporary / "rows.csv").unlink()
        assert sorted({int(row["index"]) for row in rows}) == list(range(20))
        assert {row["source"] for row in rows} == {"video"}
        assert sum(row["status"] == "ok" for row in rows) >= 18
        assert client.get(place + "/timeline.png", headers={"Range": "bytes=0-3"}).content == b"\x89PNG"
        assert "upload" not in {path.name for path in kept(temporary)}
        assert client.delete(place).status_code == 204
        assert kept(temporary) == []
        assert client.get(place).status_code == client.delete(place).status_code == 404
    assert not list(temporary.iterdir())


def test_a_threshold_of_the_model_marks_rows_as_uncertain(short):
    with connect(uncertain_below=0.999) as client:
        place = send(client, short)
        ended(client, place)
        rows = list(csv.DictReader(io.StringIO(client.get(f"{place}/rows.csv").text)))
    assert {row["uncertain"] for row in rows if row["status"] == "ok"} == {"True"}


def test_private_folder_is_removed_with_the_server(temporary, short):
    with connect() as client:
        ended(client, send(client, short))
        (folder,) = temporary.iterdir()
        assert folder.stat().st_mode & 0o077 == 0
        assert kept(temporary)
    assert not list(temporary.iterdir())


def test_a_client_reaches_no_other_video(short):
    with connect() as client:
        place = send(client, short)
        ended(client, place)
        for other in (place[:-1], place + "A", "/videos/x", "/videos/%00"):
            for path in (other, other + "/rows.csv"):
                answer = client.get(path)
                assert answer.status_code == 404
                line(answer)
        for name in ("upload", "..%2f..%2fetc%2fpasswd", "rows.csv%00", "ROWS.CSV"):
            assert client.get(f"{place}/{name}").status_code == 404
        assert client.get("/videos").status_code == 405


def test_parts_of_a_result(short):
    """A browser asks for parts of a video; what cannot be one is refused as everything else is."""
    with connect() as client:
        place = send(client, short)
        ended(client, place)
        whole = client.get(f"{place}/rows.csv").content
        part = client.get(f"{place}/rows.csv", headers={"Range": "bytes=0-5"})
        assert (part.status_code, part.content) == (206, whole[:6])
        beyond = client.get(f"{place}/rows.csv", headers={"Range": "bytes=9999999-"})
        assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(whole)}")
        assert f"{len(whole):,} bytes" in line(beyond)
        for bad in ("apples=0-5", "bytes=5-0", "bytes=a-b", "bytes"):
            answer = client.get(f"{place}/rows.csv", headers={"Range": bad})
            assert answer.status_code == 400, bad
            line(answer)


def test_states_and_cancellation(temporary, short):
    gate = threading.Event()
    with connect(detector=lambda: Gate(gate)) as client:
        first, second = send(client, short), send(client, short)
        wait(lambda: client.get(first).json()["state"] == "working")
        assert client.get(second).json() == {
            "state": "waiting",
            "frames": 0,
            "total": None,
            "detail": "",
            "summary": "",
        }
        for result in ("annotated.mp4", "timeline.png", "rows.csv"):
            answer = client.get(f"{first}/{result}")
            assert answer.status_code == 409
            assert line(answer) == "the video is working"
        assert client.delete(first).status_code == 204
        assert client.get(first).status_code == 404
        gate.set()
        assert ended(client, second)["state"] == "done"
        names = {path.parent.name for path in kept(temporary) if path.is_file()}
        assert names == {second.rpartition("/")[2]}


def test_waiting_video_can_be_deleted(temporary, short):
    gate = threading.Event()
    with connect(detector=lambda: Gate(gate)) as client:
        first, second = send(client, short), send(client, short)
        assert client.delete(second).status_code == 204
        gate.set()
        assert ended(client, first)["state"] == "done"
        assert {path.parent.name for path in kept(temporary) if path.is_file()} == {first.rpartition("/")[2]}


def test_video_can_be_deleted_at_the_last_moment(temporary, short, monkeypatch):
    unlink = Path.unlink

    def late(path, **options):
        if path.name == "upload":
            assert client.delete(f"/videos/{path.parent.name}").status_code == 204
        unlink(path, **options)

    with connect() as client:
        monkeypatch.setattr(Path, "unlink", late)
        send(client, short)
        wait(lambda: not kept(temporary))


def test_abandoned_video_is_deleted(temporary, short):
    with connect(video_keep_seconds=0.5) as client:
        place = send(client, short)
        wait(lambda: kept(temporary) == [])
        assert client.get(place).status_code == 404


def test_number_of_videos_is_limited(short):
    gate = threading.Event()
    with connect(detector=lambda: Gate(gate), videos=2) as client:
        first, _ = send(client, short), send(client, short)
        answer = client.post("/videos", content=short)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 0
        assert line(answer).startswith("busy: the limit is 2 videos at once")
        assert client.delete(first).status_code == 204
        send(client, short)
        gate.set()


SDP = b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 26\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", 422),
        (b"tiny", 415),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", 415),
        (b"ffconcat version 1.0\nfile '/etc/passwd'\n", 415),
        (SDP, 415),
        (b"<?xml version='1.0'?><MPD profiles='urn:mpeg:dash:profile:isoff-live:2011'></MPD>", 415),
        (b"a plain text, which FFmpeg would draw letter by letter\n" * 20, 415),
        (b"<html></html>" * 9, 415),
        (b"PK\x03\x04" + bytes(50), 415),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), 415),
        (b"RIFF\x00\x00\x00\x00WAVEfmt " + bytes(50), 415),
    ],
    ids=["nothing", "short", "m3u", "concat", "sdp", "dash", "text", "html", "zip", "png", "wav"],
)
def test_other_files_are_refused_and_not_kept(temporary, data, status):
    with connect() as client:
        answer = client.post("/videos", content=data)
        assert answer.status_code == status
        line(answer)
        assert kept(temporary) == []


@pytest.mark.parametrize(
    "data",
    [
        b"\x1aE\xdf\xa3\n" + SDP,
        b"\x00\x00\x00\x18ftypmp42" + bytes(200),
        b"0000free\n#EXTM3U\n#EXTINF:1,\n/etc/passwd\n",
        b"0000skip\n" + SDP,
        b"\x00\x00\x00\x10ftypqt  \x00\x00\x00\x00",
        b"RIFF\xff\xff\xff\xffAVI LIST" + bytes(100),
        b"\x00\x00\x01\xba" + b"\xff" * 300,
    ],
    ids=["ebml-sdp", "mp4", "free-m3u", "skip-sdp", "mov", "avi", "mpeg"],
)
def test_damaged_video_fails_in_one_line(temporary, data):
    with connect() as client:
        said = ended(client, send(client, data))
        assert said["state"] == "failed"
        assert said["detail"]
        assert "\n" not in said["detail"]
        assert str(temporary) not in said["detail"]
        assert "fer-" not in said["detail"]
        assert not [path for path in kept(temporary) if path.name == "upload"]


def test_truncated_video_is_reported(tmp_path):
    data = encode_video(tmp_path / "video.avi", plain_frames(60))
    with connect() as client:
        said = ended(client, send(client, data[: len(data) * 2 // 3]))
        assert said["state"] == "done"
        assert "cut short" in said["detail"]
        assert str(Path(tempfile.gettempdir())) not in said["detail"]


def test_long_video_is_refused(tmp_path):
    data = encode_video(tmp_path / "video.avi", plain_frames(60))
    with connect(video_seconds=3) as client:
        said = ended(client, send(client, data))
        assert said["state"] == "failed"
        assert said["detail"] == "the video is longer than 0.05 minutes"


def test_slow_video_is_ended(tmp_path):
    class Slow:
        def find(self, image):
            time.sleep(0.1)
            return []

    data = encode_video(tmp_path / "video.avi", plain_frames(60))
    with connect(detector=Slow, video_work_seconds=0.5) as client:
        said = ended(client, send(client, data))
        assert said["state"] == "failed"
        assert said["frames"] < 30


def test_large_result_is_refused(tmp_path, temporary):
    gate = threading.Event()
    gate.set()
    noise = np.random.default_rng(0).integers(0, 256, (60, 120, 160, 3), np.uint8)
    data = encode_video(tmp_path / "video.avi", noise)
    with connect(detector=lambda: Gate(gate), result_bytes=2**16) as client:
        said = ended(client, send(client, data))
        assert (said["state"], said["detail"]) == ("failed", "the labelled video is larger than 0.1 MB")
        assert kept(temporary) == []


def test_large_frames_are_refused(tmp_path):
    data = encode_video(tmp_path / "video.avi", plain_frames(3, 640, 480))
    with connect(video_pixels=640 * 479) as client:
        said = ended(client, send(client, data))
        assert said["state"] == "failed"
        assert "pixels" in said["detail"]


def test_bug_is_reported_in_one_line(short, monkeypatch):
    monkeypatch.setattr(drawing, "draw", lambda *_: 1 / 0)
    with connect() as client:
        assert ended(client, send(client, short))["detail"] == "the server could not label this video"
        monkeypatch.undo()
        assert ended(client, send(client, short))["state"] == "done"


def test_large_file_is_refused(temporary):
    with connect(video_bytes=2**20) as client:
        head = b"\x00\x00\x00\x18ftypmp42"

        def parts():
            yield head
            for _ in range(20):
                yield bytes(2**16)

        for content in (parts(), head + bytes(2**20)):
            answer = client.post("/videos", content=content)
            assert answer.status_code == 413
            assert line(answer) == "the file is larger than 1 MB"
        assert kept(temporary) == []
