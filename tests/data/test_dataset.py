"""`Dataset` itself: checked, aligned by name, split without leaks, blank images and duplicates."""

import dataclasses

import numpy as np
import pytest

from fer import FerError
from fer.core.images import InputSpec
from fer.data import duplicates
from fer.data.dataset import Dataset, join
from fer.data.entry import Entry
from fer.data.loading import load
from fer.data.splitting import split_off


def rows_of(data):
    return [row.tobytes() for row in data.images]


def make(codes, labels=("happy", "sad"), seed=0):
    """A data set of different random images with the given labels."""
    codes = np.asarray(codes, int)
    pixels = np.random.default_rng(seed).integers(0, 256, (len(codes), 4, 4, 1), np.uint8)
    targets = np.eye(len(labels), dtype=np.float32)[codes]
    return Dataset(pixels, targets, labels, tuple(Entry(f"image {i}") for i in range(len(codes))))


class TestDataset:
    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"images": np.zeros((2, 4, 4, 1), np.float32)}, "images must be uint8"),
            ({"images": np.zeros((2, 4, 4), np.uint8)}, "images must be uint8"),
            ({"images": np.zeros((2, 4, 5, 1), np.uint8)}, "images must be uint8"),
            ({"images": np.zeros((3, 4, 4, 1), np.uint8)}, "3 images"),
            ({"targets": np.eye(2)}, "targets float64"),
            ({"targets": np.eye(3, dtype=np.float32)[:2]}, "2 labels"),
            ({"entries": ("only one",)}, "1 entries"),
            ({"targets": np.full((2, 2), 0.4, np.float32)}, "sum to 1"),
            ({"targets": np.full((2, 2), np.nan, np.float32)}, "sum to 1"),
            ({"targets": np.array([[2, -1], [1, 0]], np.float32)}, "shares that sum to 1"),
            ({"labels": ("happy", "happy")}, "twice"),
        ],
    )
    def test_is_checked_when_built(self, changes, said):
        whole = {"images": np.zeros((2, 4, 4, 1), np.uint8), "targets": np.eye(2, dtype=np.float32)}
        whole |= {"labels": ("happy", "sad"), "entries": ("a", "b")}
        Dataset(**whole)
        with pytest.raises(FerError, match=said):
            Dataset(**(whole | changes))

    def test_counts(self):
        assert make([0, 1, 1, 1], ("happy", "sad", "fear")).counts == {"happy": 1, "sad": 3, "fear": 0}

    def test_counts_of_shares_go_by_the_strongest(self):
        targets = np.array([[0.4, 0.6], [0.7, 0.3], [0.1, 0.9]], np.float32)
        shares = Dataset(np.zeros((3, 2, 2, 1), np.uint8), targets, ("happy", "sad"), tuple(map(Entry, "abc")))
        assert shares.counts == {"happy": 1, "sad": 2}

    @pytest.mark.parametrize("channels", [1, 3])
    def test_blank(self, channels):
        pixels = np.zeros((4, 2, 2, channels), np.uint8)
        pixels[1] = 255
        pixels[2, ..., 0] = 9  # one colour, also where it is not grey
        pixels[3, 0, 0, 0] = 1
        targets = np.ones((4, 1), np.float32)
        assert Dataset(pixels, targets, ("sad",), tuple(map(Entry, "abcd"))).n_blank == 3

    def test_an_empty_one_has_counts_too(self):
        empty = make([])
        assert (len(empty), empty.n_blank, empty.counts) == (0, 0, {"happy": 0, "sad": 0})

    def test_select_keeps_everything_together_in_the_given_order(self):
        data = make([0, 1, 0, 1])
        chosen = data.select(np.array([3, 0]))
        assert chosen.names == ("image 3", "image 0")
        np.testing.assert_array_equal(chosen.images, data.images[[3, 0]])
        np.testing.assert_array_equal(chosen.targets, data.targets[[3, 0]])

    def test_align_moves_columns_by_name(self):
        data = make([0, 1, 2], ("angry", "happy", "sad"))
        moved = data.align(("sad", "neutral", "angry", "happy"))
        assert moved.labels == ("sad", "neutral", "angry", "happy")
        assert [moved.labels[i] for i in moved.targets.argmax(axis=1)] == ["angry", "happy", "sad"]
        assert moved.counts == {"sad": 1, "neutral": 0, "angry": 1, "happy": 1}
        np.testing.assert_array_equal(moved.align(moved.labels).targets, moved.targets)

    def test_align_keeps_shares(self):
        targets = np.array([[0.25, 0.75]], np.float32)
        shares = Dataset(np.zeros((1, 2, 2, 1), np.uint8), targets, ("happy", "sad"), (Entry("a"),))
        np.testing.assert_array_equal(shares.align(("sad", "happy")).targets, targets[:, ::-1])

    def test_align_names_the_labels_that_the_model_does_not_know(self):
        with pytest.raises(FerError, match="does not know: contempt, bored; it knows happy, sad"):
            make([0, 1, 2], ("happy", "contempt", "bored")).align(("happy", "sad"))

    def test_join(self):
        one, other = make([0, 1], seed=1), make([1], seed=2)
        both = join([one, other])
        assert rows_of(both) == rows_of(one) + rows_of(other)
        assert both.names == one.names + other.names
        assert both.counts == {"happy": 1, "sad": 2}


class TestSplitOff:
    @pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
    @pytest.mark.parametrize("seed", [0, 42])
    def test_parts_are_disjoint_complete_and_stratified(self, fraction, seed):
        data = make([0] * 200 + [1] * 57 + [2] * 20, ("happy", "sad", "fear"))
        rest, part = split_off(data, fraction, seed)
        assert set(rest.names).isdisjoint(part.names)
        assert {*rest.names, *part.names} == set(data.names)
        assert abs(len(part) - fraction * len(data)) <= 1.5
        for label, count in data.counts.items():
            assert abs(part.counts[label] - fraction * count) <= 1

    def test_the_seed_decides(self):
        data = make([0, 1] * 100)
        assert split_off(data, 0.1, 7)[1].names == split_off(data, 0.1, 7)[1].names
        assert split_off(data, 0.1, 7)[1].names != split_off(data, 0.1, 8)[1].names

    @pytest.mark.parametrize("seed", range(5))
    def test_identical_images_stay_on_one_side(self, seed):
        """60 of 200 images have duplicates; half of these have another label than their duplicate."""
        data = make([0, 1] * 100)
        for i in range(0, 60, 2):
            data.images[i] = data.images[100 + i + (i % 4 == 0)]
        rest, part = split_off(data, 0.2, seed)
        assert set(rows_of(rest)).isdisjoint(rows_of(part))
        assert len(rest) + len(part) == 200
        assert 0.13 < len(part) / 200 < 0.27

    @pytest.mark.parametrize("fraction", [0.001, 0.999])
    def test_every_label_is_on_both_sides_whatever_the_fraction(self, fraction):
        rest, part = split_off(make([0] * 50 + [1] * 2), fraction, 0)
        assert min(rest.counts.values()) >= 1
        assert min(part.counts.values()) >= 1

    def test_what_was_left_out_is_counted_once(self):
        data = make([0, 1] * 10)
        data = Dataset(data.images, data.targets, data.labels, data.entries, (("x.jpg", "empty"),))
        assert [part.skipped for part in split_off(data, 0.2, 0)] == [(("x.jpg", "empty"),), ()]

    @pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
    def test_fractions_outside(self, fraction):
        with pytest.raises(FerError, match="between 0 and 1"):
            split_off(make([0, 1] * 10), fraction, 0)

    def test_a_single_image_of_a_label(self):
        with pytest.raises(FerError, match="'sad' has a single distinct image"):
            split_off(make([0, 0, 0, 1]), 0.5, 0)

    def test_an_image_and_its_copies_are_one(self):
        data = make([0, 0, 0, 1, 1])
        data.images[4] = data.images[3]
        with pytest.raises(FerError, match="'sad' has a single distinct image"):
            split_off(data, 0.5, 0)


def test_blank_images_can_be_left_out_and_are_named():
    data = make([0, 1, 0])
    images = data.images.copy()
    images[1] = 9
    rest = dataclasses.replace(data, images=images).without_blank()
    assert rest.names == (data.names[0], data.names[2])
    assert rest.skipped == ((data.names[1], "blank"),)
    np.testing.assert_array_equal(rest.targets, data.targets[[0, 2]])


def test_identical_images_share_the_mean_of_their_targets():
    data = make([0, 1, 0, 1])
    images = data.images.copy()
    images[3] = images[0]
    averaged = dataclasses.replace(data, images=images).with_averaged_duplicates()
    np.testing.assert_array_equal(averaged.targets, [[0.5, 0.5], [0, 1], [1, 0], [0.5, 0.5]])
    np.testing.assert_array_equal(averaged.images, images)


def test_identical_images_are_grouped_in_the_order_of_their_first():
    pictures = np.array([[5], [3], [5], [4], [3]], np.uint8)
    first, group = duplicates.group_identical(pictures)
    np.testing.assert_array_equal(first, [0, 1, 3])
    np.testing.assert_array_equal(group, [0, 1, 0, 2, 1])


def test_from_arrays_and_rows_by_mask():
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1), np.uint8)
    data = Dataset.from_arrays(images, ["Happiness", "sad", "happy", "sad"], groups=["a", "b", "a", ""])
    assert (data.labels, data.counts) == (("happy", "sad"), {"happy": 2, "sad": 2})
    some = data.select(np.array([True, False, False, True]))
    assert (some.names, some.groups) == (("row 0", "row 3"), ("a", ""))
    np.testing.assert_array_equal(some.images, images[[0, 3]])
    ordered = Dataset.from_arrays(images, ["sad"] * 4, order=("sad", "angry"))
    assert ordered.counts == {"sad": 4, "angry": 0}
    with pytest.raises(FerError, match="not among angry, sad: happy"):
        Dataset.from_arrays(images, ["happy"] * 4, order=("angry", "sad"))


def test_one_split_or_a_list_of_them():
    for splits in ("test", ["test"]):
        assert list(load("demo", InputSpec(8), splits=splits)) == ["test"]
