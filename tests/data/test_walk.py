"""Listing images in folders: order, hidden ones, links, what cannot be read."""

import os
from pathlib import Path

import pytest

from fer import FerError
from fer.data.walk import find_images


class TestFindPictures:
    @pytest.fixture
    def lines(self):
        return []

    @pytest.fixture
    def tree(self, tmp_path):
        def build(*names):
            for name in names:
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / name).touch()
            return tmp_path

        return build

    @pytest.fixture
    def find(self, lines):
        return lambda root: [path.relative_to(root).as_posix() for path in find_images(root, on_error=lines.append)]

    def test_files_by_name_then_folders_by_name(self, tree, find, lines):
        root = tree("z.jpg", "b/2.PNG", "b/a/1.webp", "b/10.png", "a/x.JpEg", "c/d/e/f.bmp", "A.tif", "readme.txt", "n")
        (root / "empty").mkdir()
        assert find(root) == ["A.tif", "z.jpg", "a/x.JpEg", "b/10.png", "b/2.PNG", "b/a/1.webp", "c/d/e/f.bmp"]
        assert lines == []

    def test_hidden_ones_are_left_out(self, tree, find, lines):
        root = tree("a.jpg", ".b.jpg", "._a.jpg", ".git/c.jpg", "__MACOSX/._a.jpg", "x/.y/z.jpg", "x/.jpg", "__t/d.jpg")
        assert find(root) == ["a.jpg", "__t/d.jpg"]
        assert lines == []

    def test_a_hidden_folder_asked_for(self, tree, find):
        assert find(tree(".cache/a.jpg") / ".cache") == ["a.jpg"]

    def test_a_single_file(self, tree, find):
        path = tree("face.gif") / "face.gif"
        assert list(find_images(str(path), on_error=print)) == [path]

    def test_a_missing_path_is_told_at_once(self, tmp_path):
        with pytest.raises(FerError, match="none: no such file or folder"):
            find_images(tmp_path / "none", on_error=print)

    def test_links(self, tree, find, lines):
        root = tree("a/1.jpg", "b/2.jpg")
        (root / "a" / "up").symlink_to(root, target_is_directory=True)
        (root / "a" / "self").symlink_to("self")
        (root / "c").symlink_to(root / "b", target_is_directory=True)
        (root / "b" / "3.jpg").symlink_to(root / "a" / "1.jpg")
        (root / "b" / "4.jpg").symlink_to("gone.jpg")
        assert find(root) == [
            *("a/1.jpg", "b/2.jpg", "b/3.jpg", "b/4.jpg"),
            *("c/2.jpg", "c/3.jpg", "c/4.jpg"),
        ]
        assert lines == [f"{root / 'a/up'}: a link to a folder above it"]
        assert find(root / "c") == ["2.jpg", "3.jpg", "4.jpg"]  # it was asked for

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
    def test_a_pipe_is_no_image(self, tree, find):
        root = tree("a.jpg", "c.jpg")
        os.mkfifo(root / "b.jpg")
        assert find(root) == ["a.jpg", "c.jpg"]

    def test_a_folder_that_cannot_be_read_is_named(self, tree, find, lines, monkeypatch):
        root = tree("a/1.jpg", "b/2.jpg", "c/3.jpg")

        def scandir(path, _original=os.scandir):
            if Path(path).name == "b":
                raise PermissionError(13, "Permission denied")
            return _original(path)

        monkeypatch.setattr(os, "scandir", scandir)
        assert find(root) == ["a/1.jpg", "c/3.jpg"]
        assert lines == [f"{root / 'b'}: cannot be read (Permission denied)"]
        with pytest.raises(FerError, match="b: cannot be read"):
            find_images(root / "b", on_error=print)

    def test_one_at_a_time(self, tree, lines):
        root = tree("a/1.jpg", "b/2.jpg")
        found = find_images(root, on_error=lines.append)
        assert next(found).name == "1.jpg"
        (root / "b" / "3.jpg").touch()  # b has not been listed yet
        assert [path.name for path in found] == ["2.jpg", "3.jpg"]
