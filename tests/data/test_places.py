"""Places of data: paths, synthetic faces and addresses."""

import pytest

from fer.data import places


@pytest.mark.parametrize(
    ("source", "is_path", "is_address"),
    [
        ("demo", False, False),
        ("./demo", True, False),
        ("kaggle:msambare/fer2013", False, True),
        ("hf:owner/name", False, True),
        ("fer2013/", True, False),
        ("kaggle", True, False),
    ],
)
def test_kinds_of_places(source, is_path, is_address):
    assert places.is_path(source) == is_path
    assert places.is_address(source) == is_address
    assert places.exists(source) != is_path  # none of these paths exists


def test_a_local_place_is_itself(tmp_path):
    assert places.local(tmp_path) == str(tmp_path)
    assert places.exists(tmp_path)


def test_one_place_may_be_written_in_many_ways(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "faces")
    assert all(places.same("faces/", other) for other in ("faces", "./faces", tmp_path / "faces", "link"))
    assert not places.same("faces", "faces.csv")
    assert places.same("demo", "demo")
    assert not places.same("demo", "./demo")
