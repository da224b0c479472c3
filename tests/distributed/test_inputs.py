"""What is found to label: folders, patterns, videos, object stores; and how it is divided among workers."""

import os
from itertools import islice
from pathlib import Path

import pytest
from support import objects

from fer import FerError
from fer.distributed import inputs
from fer.distributed.inputs import LARGEST, SMALLEST, Found, Unit, find_files, make_units


def names(*given, **options):
    return [file.name for file in find_files(list(map(str, given)), **options)]


@pytest.fixture
def photos(tmp_path, draw, write, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("photos/a.png", "photos/2023/b.png", "photos/2024/c.jpg", "photos/2024/deep/d.png"):
        write(Path(name), draw(len(name)))
    Path("photos/clip.MP4").write_bytes(b"?")
    Path("photos/notes.txt").write_text("no image")
    Path("photos/.hidden.png").write_text("")
    return tmp_path / "photos"


def test_images_videos_and_the_rest(photos):
    others = []
    found = list(find_files(["photos"], on_other=others.append))
    assert found == [
        Found("photos", "photos/a.png", False),
        Found("photos", "photos/clip.MP4", True),
        Found("photos", "photos/2023/b.png", False),
        Found("photos", "photos/2024/c.jpg", False),
        Found("photos", "photos/2024/deep/d.png", False),
    ]
    assert others == [Path("photos/notes.txt")]


def test_patterns(photos):
    assert names("photos/20*") == ["photos/2023/b.png", "photos/2024/c.jpg", "photos/2024/deep/d.png"]
    assert names("photos/**/*.png") == ["photos/2023/b.png", "photos/2024/deep/d.png", "photos/a.png"]
    others = []
    assert names("photos/*.*", on_other=others.append) == ["photos/a.png", "photos/clip.MP4"]
    assert others == [Path("photos/notes.txt")]
    assert {file.root for file in find_files(["photos/20*"])} == {"photos"}
    with pytest.raises(FerError, match=r"^nothing\*: no file matches"):
        names("nothing*")


def test_a_name_with_signs_of_a_pattern_is_a_name(photos):
    os.rename("photos/2023", "photos/[2023]")
    assert names("photos/[2023]") == ["photos/[2023]/b.png"]


@pytest.mark.parametrize(
    "given",
    [("photos", "photos"), ("photos", "photos/2024"), ("photos/2024/deep", "photos/"), ("photos/**", "photos")],
)
def test_a_file_of_two_inputs_is_found_once(photos, given):
    assert sorted(map(os.path.normpath, names(*given))) == sorted(names("photos"))
    assert sorted(map(os.path.normpath, names(*map(os.path.abspath, given)))) == sorted(names(photos))


def test_a_named_file_counts_whatever_its_name(photos):
    assert names("photos/notes.txt") == ["photos/notes.txt"]
    with pytest.raises(FerError, match="no such file or folder"):
        names("photos", "none")


# --- object stores


def test_an_object_store():
    pytest.importorskip("pyarrow")
    held = {
        "photos/a.jpg": b"A",
        "photos/deep/b c.png": b"BB",
        "photos/deep/clip.mov": b"M",
        "photos/notes.txt": b"",
        "photos/.x.png": b"",
    }
    others = []
    with objects.store(held) as url:
        found = list(find_files([url("photos")], on_other=others.append))
        assert [file.name for file in found] == [
            "s3://faces/photos/a.jpg",
            "s3://faces/photos/deep/b c.png",
            "s3://faces/photos/deep/clip.mov",
        ]
        assert [file.video for file in found] == [False, False, True]
        assert others == [Path("faces/photos/notes.txt")]
        assert inputs.read_bytes(found[1].root, found[1].name) == b"BB"
        assert names(url("photos/a.jpg")) == ["s3://faces/photos/a.jpg"]
        with pytest.raises(FerError, match=r"^s3://faces/photos/none.jpg: cannot be opened") as missing:
            inputs.read_bytes(found[1].root, "s3://faces/photos/none.jpg")
        with pytest.raises(FerError, match=r"^s3://faces/none: no such file or folder$"):
            names(url("none"))
    assert "secret" not in str(missing.value)


def test_local_addresses_of_pyarrow_and_of_fsspec(photos):
    pytest.importorskip("pyarrow")
    expected = [f"file://{photos}/{name}" for name in ("a.png", "clip.MP4", "2023/b.png", "2024/c.jpg")]
    assert names(f"file://{photos}")[:4] == expected
    assert inputs.read_image(f"file://{photos}", expected[0]).shape == (48, 48, 3)
    pytest.importorskip("fsspec")
    (first, *_) = find_files([f"local://{photos}"])
    assert first.name == f"local://{photos}/a.png"
    assert inputs.read_image(*first[:2]).shape == (48, 48, 3)


def test_addresses_that_cannot_be_read():
    pytest.importorskip("pyarrow")
    with pytest.raises(FerError, match=r"^nothing://here/x: cannot be opened"):
        names("nothing://me:secret@here/x?key=1")


# --- units


def found(number, root="r"):
    return (Found(root, f"{root}/{i}", False) for i in range(number))


def test_units_hold_every_file_once_and_grow():
    units = list(make_units(found(20_000), workers=2))
    assert [name for unit in units for name in unit.names] == [file.name for file in found(20_000)]
    sizes = [len(unit.names) for unit in units]
    assert sizes[0] == SMALLEST
    assert sizes[:-1] == sorted(sizes[:-1])
    assert max(sizes) <= 20_000 / 16
    assert max(len(unit.names) for unit in islice(make_units(found(10**5), 1), 70)) == LARGEST


def test_a_unit_has_one_root_and_a_video_is_a_unit():
    files = [*found(2, "a"), Found("a", "a/v.mp4", True), *found(1, "b")]
    units = list(make_units(files, 1))
    assert sorted(units, key=lambda unit: unit.names) == [
        Unit("a", ("a/0", "a/1")),
        Unit("a", ("a/v.mp4",), True),
        Unit("b", ("b/0",)),
    ]


def test_what_is_printed_of_a_place_has_no_keys():
    assert inputs.shown("s3://user:key@bucket/photos?secret=1") == "s3://bucket/photos"
    assert inputs.shown("photos/what?") == "photos/what?"
