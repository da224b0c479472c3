"""Images in memory, in a file or decoded on demand: the same pixels, hashes, splits and trained weights."""

import os
import shutil
import time
from unittest import mock

import numpy as np
import pytest
from support import layouts, tiny

from fer import FerError
from fer.core.images import InputSpec
from fer.data import image_array, loading
from fer.data.image_array import DecodedImages, ImageArray, JoinedImages, SelectedImages, chunks, digests

SPEC = InputSpec(12)


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(image_array, "CHUNK", 4)  # several of them
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path):
    root = layouts.folders(tmp_path / "faces", ["train/happy", "train/sad", "val/happy", "val/sad"], 9)
    (root / "train" / "happy" / "train-happy-3.png").write_bytes(b"")
    layouts.write(root / "train" / "sad" / "blank.png", np.full((20, 20), 90, np.uint8))
    return root


def load(root, cache):
    return loading.load(root, SPEC, cache=cache)


@pytest.mark.parametrize("cache", ["disk", "none"])
def test_every_cache_gives_the_same_data(root, cache):
    for _ in range(2):  # the second time from the file
        for split, part in load(root, cache).items():
            memory = load(root, "memory")[split]
            np.testing.assert_array_equal(np.asarray(part.images), memory.images)
            np.testing.assert_array_equal(digests(part.images), digests(memory.images))
            assert part.names == memory.names
            assert part.skipped == memory.skipped
            assert part.n_blank == memory.n_blank == (split == "train")
            assert len(part.without_blank()) == len(memory.without_blank())


def test_a_changed_file_is_decoded_again(root, cache_folder):
    before = load(root, "disk")["validation"].images
    layouts.write(root / "val" / "sad" / "val-sad-0.png")
    after = load(root, "disk")["validation"].images
    assert (before[:] != after[:]).any()
    assert not list(cache_folder.glob(".*"))


def test_what_could_not_be_read_is_tried_again(root, monkeypatch):
    monkeypatch.setattr(image_array, "load_image", mock.Mock(side_effect=FerError("the disk is away")))
    with pytest.raises(FerError, match="no usable image"):
        load(root, "disk")
    monkeypatch.undo()
    assert len(load(root, "disk")["validation"]) == len(load(root, "memory")["validation"])


def test_a_file_of_the_cache_that_was_deleted_is_written_again(root, cache_folder):
    before = load(root, "disk")["train"].images[:]
    for path in cache_folder.glob("*.npy"):
        path.unlink()
    np.testing.assert_array_equal(load(root, "disk")["train"].images[:], before)


def test_files_of_the_cache_that_nobody_used_for_long_are_removed(root, cache_folder):
    images = load(root, "disk")["train"].images
    used, expected = set(cache_folder.iterdir()), images[:]
    killed = layouts.text(cache_folder / f".77-{'a' * 32}.npy", "x")
    own = {layouts.text(cache_folder / name, "x") for name in ("features.npy", "features.json")}  # of the user
    long_ago = time.time() - 31 * 24 * 3600
    for path in cache_folder.iterdir():
        os.utime(path, (long_ago, long_ago))
    load(root, "disk")  # uses the files of both splits
    layouts.write(root / "val" / "sad" / "val-sad-0.png")
    load(root, "disk")
    left = set(cache_folder.iterdir())
    assert used | own < left
    assert killed not in left
    for path in used:
        os.utime(path, (long_ago, long_ago))
    layouts.write(root / "train" / "sad" / "train-sad-0.png")
    load(root, "disk")
    assert not used & set(cache_folder.iterdir())
    np.testing.assert_array_equal(images[:], expected)  # a training that goes on keeps its file


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(root, cache_folder, monkeypatch):
    usage = shutil.disk_usage(root)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(FerError, match=r"0.0 GB of images, 0.0 GB free; FER_CACHE names another folder"):
        load(root, "disk")
    assert not list(cache_folder.iterdir())


def test_auto_holds_what_fits(root, monkeypatch):
    assert isinstance(load(root, "auto")["train"].images, np.ndarray)
    monkeypatch.setattr(image_array, "available_memory", lambda: 1000)
    assert isinstance(load(root, "auto")["train"].images, ImageArray)


def test_an_unknown_cache_is_refused(root):
    with pytest.raises(FerError, match="must be one of auto, memory, disk, none, not 'ram'"):
        load(root, "ram")


def test_rows_of_rows_of_joined_images(root):
    data = load(root, "none")
    parts = [data["train"].images, data["validation"].images]
    assert isinstance(parts[0], DecodedImages)
    joined, expected = JoinedImages(parts), np.concatenate([np.asarray(part) for part in parts])
    picked = SelectedImages(SelectedImages(joined, np.arange(30, 5, -1)), np.array([0, 20, 3]))
    np.testing.assert_array_equal(picked[:], expected[[30, 10, 27]])
    np.testing.assert_array_equal(joined[18], expected[18])
    np.testing.assert_array_equal(joined[-1], expected[-1])
    with pytest.raises(IndexError):
        joined[len(joined)]
    np.testing.assert_array_equal(joined[2:25:5], expected[2:25:5])
    np.testing.assert_array_equal(np.concatenate(list(chunks(joined))), expected)
    np.testing.assert_array_equal(np.stack(list(joined)), expected)
    np.testing.assert_array_equal(digests(joined), digests(expected))
    mask = np.arange(len(joined)) % 3 == 0
    np.testing.assert_array_equal(joined[mask], expected[mask])


def test_a_split_of_images_on_demand_is_that_of_memory(tmp_path):
    root = layouts.folders(tmp_path / "all", ["happy", "sad"], 20)
    lazy, memory = load(root, "none"), load(root, "memory")
    assert {split: part.names for split, part in lazy.items()} == {split: part.names for split, part in memory.items()}


def test_a_large_selection_does_not_copy(root, monkeypatch):
    part = load(root, "memory")["train"]
    monkeypatch.setattr(image_array, "COPIED", 100)
    view = part.select(np.arange(5))
    assert isinstance(view.images, SelectedImages)
    np.testing.assert_array_equal(np.asarray(view.images), part.images[:5])


@pytest.mark.slow
@pytest.mark.parametrize(("cache", "mixup"), [("none", 0.2), ("disk", 0.0)])
def test_training_gives_the_same_weights_also_when_resumed(tmp_path, cache, mixup):
    root = tiny.folders(tmp_path / "faces")
    expected = tiny.fit_from_files(tmp_path / "a", root, "memory", mixup=mixup)
    found = tiny.fit_from_files(tmp_path / "b", root, cache, interrupted=True, mixup=mixup)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
