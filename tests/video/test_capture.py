"""What cannot be opened says so in one line, and no line holds a password."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fer import FerError
from fer.video import capture
from fer.video.capture import without_secrets
from fer.video.sources import open_source

ROOT = Path(__file__).resolve().parents[2]


class TestWhatCannotBeOpened:
    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("zero.mp4", b"", "empty .0 bytes."),
            ("text.mp4", b"hello\n" * 99, "not a video"),
            ("notes.txt", b"hello\n" * 99, "not a video"),  # which FFmpeg would draw
            ("noise.avi", bytes(range(256)) * 99, "not a video"),
            ("riff.avi", b"RIFF\xff\xff\0\0AVI LIST", "not a video|not one frame"),
        ],
    )
    def test_a_file_that_is_no_video(self, tmp_path, name, content, said):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(FerError, match=said) as error:
            open_source(str(path))
        assert str(error.value).startswith(f"{path}: ")
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
    def test_an_mp4_without_its_end(self, make_video, share):
        path = make_video("a.mp4", frames=60)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        with pytest.raises(FerError, match=r"a\.mp4: .*cut short"):
            open_source(str(path))

    def test_a_folder_and_what_is_nothing(self, tmp_path):
        with pytest.raises(FerError, match="is a folder"):
            open_source(str(tmp_path))
        for text in ("", "none.mp4", "-1", "1.5", "ftp://host/a.mp4"):
            with pytest.raises(FerError, match=r"not a camera number .*, address .* or file"):
                open_source(text)

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="this user may read everything")
    def test_a_file_without_permission(self, make_video):
        path = make_video()
        path.chmod(0)
        with pytest.raises(FerError, match=r"a\.avi: cannot be opened \(Permission"):
            open_source(str(path))

    @pytest.mark.parametrize("text", ["99", " 99 ", "/dev/video99"])
    def test_a_camera_that_is_not_there(self, text):
        begun = time.monotonic()
        with pytest.raises(FerError, match=r"^camera 99 cannot be opened \(tried [A-Z0-9_, ]+\); .+") as error:
            open_source(text)
        assert time.monotonic() - begun < 5
        if sys.platform == "linux":
            assert "V4L2" in str(error.value)
            assert "/dev/video" in str(error.value)

    def test_a_number_that_opencv_would_take_for_a_driver(self):
        with pytest.raises(FerError, match="from 0 to 99, not 200"):
            open_source("200")

    def test_what_is_said_of_the_devices(self, tmp_path, monkeypatch):
        def said():
            return capture._devices(2, str(tmp_path)).replace(f"{tmp_path}/", "")

        if sys.platform != "linux":
            pytest.skip("devices are files on Linux only")
        assert "no camera" in said()
        for number in (10, 0):
            (tmp_path / f"video{number}").touch()
        assert said() == "this machine has video0, video10"
        (tmp_path / "video2").touch()
        assert "another program" in said()
        monkeypatch.setattr(os, "access", lambda *_: False)
        assert "may not read it" in said()

    def test_only_our_line_is_printed(self, make_video):
        """Neither OpenCV nor FFmpeg adds its own; a new process, as both take their level when they are first used."""
        path = make_video("half.mp4")
        path.write_bytes(path.read_bytes()[:-500])
        texts = ["99", str(path), "http://ann:hush@127.0.0.1:9/x", "rtsp://ann:hush@127.0.0.1:9/x?pwd=hush"]
        ended = subprocess.run(
            [sys.executable, "-c", PRINT_ERRORS, *texts], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        assert ended.stderr == ""
        said = ended.stdout.splitlines()
        assert [line.partition(" ")[0] for line in said] == ["error:"] * len(texts)
        assert not any("hush" in line or "ann:" in line for line in said)
        for line, text in zip(said, ["camera 99", "half.mp4", "http://***@127", "rtsp://***@127"], strict=True):
            assert text in line


PRINT_ERRORS = """
import sys
from fer import FerError
from fer.video.sources import open_source
for text in sys.argv[1:]:
    try:
        open_source(text)
    except FerError as error:
        print("error:", error)
"""


class TestWithoutSecrets:
    @pytest.mark.parametrize(
        "text",
        [
            "rtsp://ann:hush@cam/x",
            "RTSP://ann:hush@cam:554/x",
            "http://hush@cam/x",
            "rtsp://ann:hu/hush@cam",
            "rtsp://ann:@hush#@cam/x",
            "rtsp://ann:123#hush@cam/x",
            "rtsp://cam:554/user=ann&password=hush&channel=1",
            "rtsp://10.0.0.1/user=ann_password=hush_channel=1",
            "http://cam/x.cgi?channel=1&loginuse=ann&loginpas=hush",
            "http://cam/x?Token=hush#top",
            "ann:hush@cam/x",
        ],
    )
    def test_hidden(self, text):
        shown = without_secrets(text)
        assert "hush" not in shown
        assert "ann:" not in shown
        assert "***" in shown
        assert "cam" in shown or "10.0.0.1" in shown

    @pytest.mark.parametrize(
        "text",
        ["0", "http://cam:8080/x?channel=2", "http://cam/live@1", "rtsp://[fe80::1]:554/x", "a@b.mp4", "C:\\a.mp4"],
    )
    def test_nothing_to_hide(self, text):
        assert without_secrets(text) == text
