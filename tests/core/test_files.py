"""A file is written whole or not at all."""

import json
import subprocess
import sys

import pytest
from support import tiny

from fer import FerError
from fer.core.files import check_folder, check_no_input, check_writable, exclusive, replacing, write_text


def names(folder):
    return [path.name for path in folder.rglob("*")]


def test_a_file_and_its_folders_appear_under_their_own_name_only(tmp_path):
    path = tmp_path / "a" / "b" / "c.txt"
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == path.parent  # a rename across disks would not be one step
        assert temporary.suffix == path.suffix
        assert not path.exists()
    assert path.read_text() == "new"
    assert names(path.parent) == ["c.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_goes_wrong_leaves_the_old_file_and_no_other(tmp_path, error):
    path = tmp_path / "c.txt"
    path.write_text("old")

    def write():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["c.txt"]


@pytest.mark.parametrize("name", ["file/c.txt", "file/deeper/c.txt", "n" * 255 + ".txt"])
def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path, name):
    (tmp_path / "file").write_text("a file, not a folder")
    with pytest.raises(FerError, match=r"c?\.txt: cannot be written: "):
        write_text(tmp_path / name, "text")
    with pytest.raises(FerError, match=r"c?\.txt: cannot be written: "):
        check_writable(tmp_path / name)
    assert names(tmp_path) == ["file"]


def test_a_folder_is_not_replaced(tmp_path):
    (tmp_path / "c.txt").mkdir()
    with pytest.raises(FerError, match=r"c\.txt: cannot be written"):
        write_text(tmp_path / "c.txt", "text")
    with pytest.raises(FerError, match=r"c\.txt: cannot be written"):
        check_writable(tmp_path / "c.txt")
    assert names(tmp_path) == ["c.txt"]


def test_a_try_to_write_leaves_nothing_and_changes_nothing(tmp_path):
    check_writable(tmp_path / "new.txt")
    (tmp_path / "old.txt").write_text("old")
    check_writable(tmp_path / "old.txt")
    assert names(tmp_path) == ["old.txt"]
    assert (tmp_path / "old.txt").read_text() == "old"


def test_an_output_that_is_an_input_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.csv").symlink_to(tmp_path / "labels.csv")
    check_no_input(["new.csv"], ["labels.csv", None, ""])
    for output in ("labels.csv", tmp_path / "x" / ".." / "labels.csv", "link.csv"):
        with pytest.raises(FerError, match=r"\.csv: the command reads this file; choose another output"):
            check_no_input([output], ["faces", "labels.csv"])


def test_text_is_utf_8_with_a_line_break_at_its_end(tmp_path):
    write_text(tmp_path / "c.txt", "fröhlich")
    assert (tmp_path / "c.txt").read_bytes() == "fröhlich\n".encode()


def test_a_name_that_is_no_utf_8_is_kept_in_json(tmp_path):
    write_text(tmp_path / "c.json", json.dumps("fröhlich caf\udce9", ensure_ascii=False))
    text = (tmp_path / "c.json").read_text(encoding="utf-8")
    assert "fröhlich" in text
    assert json.loads(text) == "fröhlich caf\udce9"


def test_a_folder_to_write_to_is_tried(tmp_path):
    (tmp_path / "file").write_text("a file, not a folder")
    (tmp_path / "old").mkdir()
    for folder in ("old", "new"):
        check_folder(tmp_path / folder)
    assert sorted(names(tmp_path)) == ["file", "old"]
    with pytest.raises(FerError, match="file: is a file, not a folder"):
        check_folder(tmp_path / "file")
    with pytest.raises(FerError, match="cannot be written"):
        check_folder(tmp_path / "file" / "deeper")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot lock a folder")
def test_a_second_process_stays_out_of_a_folder_until_the_first_has_ended(tmp_path):
    code = "import sys; from fer.core.files import exclusive\n"
    code += "with exclusive(sys.argv[1]): print('in', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, tmp_path / "run"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": tiny.ROOT}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout.readline() == "in\n"
        with pytest.raises(FerError, match="run: another process is at work here"), exclusive(tmp_path / "run"):
            pass
        process.kill()
    with exclusive(tmp_path / "run"):
        (tmp_path / "run" / "x").touch()
    assert names(tmp_path / "run") == ["x"]


def test_a_folder_that_stays_empty_is_not_left(tmp_path):
    with pytest.raises(ValueError, match="mine"), exclusive(tmp_path / "run"):
        raise ValueError("mine")
    assert names(tmp_path) == []
