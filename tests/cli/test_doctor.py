"""fer doctor: what it finds here, and what it says where a part is missing."""

import hashlib
import shutil
import subprocess
import sys

import pytest
from support.tiny import script

from fer import FerError
from fer.cli import doctor
from fer.models.bundled import FOLDER
from fer.models.model_file import read_info


@pytest.fixture
def examine(monkeypatch, capsys):
    """examine(*checks): exit code and printed lines of a doctor with these checks."""

    def examine(*checks):
        monkeypatch.setattr(doctor, "CHECKS", checks)
        code = script(doctor)
        return code, capsys.readouterr().out.splitlines()

    return examine


def failing(error):
    def find():
        raise error

    return find


def test_required_parts_work_here(capsys):
    assert script(doctor) == 0
    printed = capsys.readouterr().out
    for line in ("ok      Python", "ok      Keras", "ok      OpenCV", "ok      video files", "ok      models"):
        assert line in printed
    assert "ok      self-test     found the synthetic face and labelled it happy in " in printed
    assert printed.endswith("all required parts work\n")


def test_missing_optional_part_is_no_failure(examine):
    code, lines = examine(doctor.Check("camera", failing(FerError("camera 0 cannot be opened")), "plug one in"))
    assert code == 0
    assert lines[0] == "-       camera        camera 0 cannot be opened"
    assert lines[1].strip() == "remedy: plug one in"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ModuleNotFoundError("No module named 'cv2'"), "No module named 'cv2'"),
        (doctor.Missing("too\nold"), "too old"),
        (OSError("libGL.so.1: cannot open shared object file"), "libGL.so.1: cannot open shared object file"),
        (RuntimeError("CUDA"), "RuntimeError: CUDA"),
    ],
)
def test_missing_required_part_fails_with_its_remedy(error, text, examine):
    code, lines = examine(
        doctor.Check("OpenCV", failing(error), "pip install it", required=True),
        doctor.Check("Python", lambda: "3.11", ""),
    )
    assert code == 1
    assert lines[0] == f"FAILED  OpenCV        {text}"
    assert lines[1].strip() == "remedy: pip install it"
    assert lines[2] == "ok      Python        3.11"  # the others are still checked
    assert lines[-1] == "1 of the required parts do not work"


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A folder with the bundled model fer2013, and the list of checksums."""
    for name in ("fer2013.keras", "fer2013.tflite", "fer2013.md", "SHA256SUMS"):
        shutil.copy(FOLDER / name, tmp_path)
    monkeypatch.setattr("fer.models.bundled.FOLDER", tmp_path)
    return tmp_path


MODELS, SELF_TEST, WINDOW, LITERT = (
    next(check for check in doctor.CHECKS if check.name == name) for name in ("models", "self-test", "window", "LiteRT")
)


@pytest.mark.parametrize(("package", "line"), [("cv2", "OpenCV"), ("numpy", "packages"), ("keras", "Keras")])
def test_examination_goes_on_where_a_package_cannot_be_imported(package, line):
    code = f"import sys; sys.modules[{package!r}] = None; from fer.cli import main; main(['doctor'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=FOLDER.parent, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (failed,) = (row for row in done.stdout.splitlines() if row.startswith(f"FAILED  {line} "))
    assert package in failed
    assert "ok      Python" in done.stdout
    assert "of the required parts do not work" in done.stdout


def test_window_without_a_display_is_no_fault_of_opencv(examine, monkeypatch):
    monkeypatch.setattr("fer.video.window._has_display", lambda: False)
    monkeypatch.setattr("sys.platform", "linux")
    code, lines = examine(WINDOW)
    assert code == 0
    assert lines[0] == "-       window        there is no display"
    assert "ssh -X" in lines[1]
    assert "pip" not in lines[1]


def test_models_of_others_alone_are_no_failure(tmp_path, examine, monkeypatch):
    monkeypatch.setattr("fer.models.bundled.FOLDER", tmp_path)
    code, lines = examine(MODELS, LITERT, SELF_TEST)
    assert code == 0
    assert lines[0] == "-       models        none; name your own with --model"
    assert "-       self-test     not run: there is no bundled model" in lines
    assert lines[-1] == "all required parts work"


def test_models_are_named_with_hash_and_labels(copied, examine):
    code, lines = examine(MODELS)
    assert code == 0
    digest = hashlib.sha256((copied / "fer2013.keras").read_bytes()).hexdigest()[:12]
    assert lines[0] == f"ok      models        fer2013.keras {digest}: {', '.join(read_info('fer2013').labels)}"
    assert lines[1].strip().startswith("fer2013.tflite ")
    shutil.copy(FOLDER / "ferplus.keras", copied / "fer2013.keras")
    code, lines = examine(MODELS)
    assert code == 0
    assert lines[0].endswith(", contempt, not the file that was shipped")


def test_damaged_model_is_a_failure(copied, examine):
    whole = (copied / "fer2013.keras").read_bytes()
    (copied / "fer2013.keras").write_bytes(whole[: len(whole) // 2])
    code, lines = examine(MODELS)
    assert code == 1
    assert lines[0].startswith("FAILED  models")
    assert "fer2013.keras" in lines[0]
    assert lines[1].strip() == f"remedy: {MODELS.remedy}"
    shutil.copy(FOLDER / "fer2013.keras", copied)
    (copied / "fer2013.tflite").unlink()
    code, lines = examine(MODELS)
    assert (code, lines[0]) == (1, "FAILED  models        fer2013.tflite is missing")
    shutil.copy(FOLDER / "ferplus.keras", copied)
    shutil.copy(FOLDER / "ferplus.md", copied)
    (copied / "fer2013.keras").unlink()
    code, lines = examine(MODELS)
    assert (code, lines[0]) == (1, "FAILED  models        fer2013.keras is missing")


def test_damaged_exported_model_is_a_failure(copied, examine):
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    path = copied / "fer2013.tflite"
    path.write_bytes(path.read_bytes()[:100] + bytes(4000) + path.read_bytes()[4100:])
    code, lines = examine(MODELS)
    assert code == 1
    assert "fer2013.tflite: LiteRT cannot load it" in lines[0]


@pytest.mark.parametrize(
    ("version", "fits"), [((3, 10, 9), False), ((3, 11, 0), True), ((3, 13, 5), True), ((3, 14), False)]
)
def test_a_python_that_is_too_old_or_too_new_is_named(version, fits, examine, monkeypatch):
    monkeypatch.setattr(doctor.sys, "version_info", version)
    code, lines = examine(next(check for check in doctor.CHECKS if check.name == "Python"))
    assert code == (0 if fits else 1)
    assert ("remedy: install Python 3.11, 3.12 or 3.13" in lines[1]) == (not fits)
