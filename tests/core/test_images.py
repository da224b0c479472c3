"""The input of a network, and the one function that prepares pixels."""

import cv2
import numpy as np
import pytest

from fer import FerError
from fer.core import images
from fer.core.images import InputSpec, prepare


@pytest.fixture
def image(draw):
    return draw(1, 40, 56)


class TestInputSpec:
    def test_shape(self):
        assert InputSpec().shape == (48, 48, 1)
        assert InputSpec(64, 3).shape == (64, 64, 3)

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"size": 0}, "a whole number of 1 to 1024 pixels"),
            ({"channels": 2}, "1 .grey. or 3"),
            ({"channels": 4}, "1 .grey. or 3"),
        ],
    )
    def test_errors(self, values, said):
        with pytest.raises(FerError, match=said):
            InputSpec(**values)


class TestPrepare:
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("size", [48, 24, 96, 1])
    @pytest.mark.parametrize("shape", [(48, 48), (48, 48, 3), (224, 224, 3), (100, 37), (1, 1), (7, 300, 3)])
    def test_shape_and_type(self, shape, size, channels):
        spec = InputSpec(size, channels)
        row = prepare(np.full(shape, 77, np.uint8), spec)
        assert row.dtype == np.uint8
        assert row.shape == spec.shape
        assert (row == 77).all()  # neither colour nor size may shift a level

    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("side", [30, 48, 100])
    def test_a_grey_image_gives_the_same_row_with_one_or_three_channels(self, draw, side, channels):
        grey, spec = draw(3, side, side)[..., 0], InputSpec(48, channels)
        np.testing.assert_array_equal(prepare(grey, spec), prepare(np.stack([grey] * 3, axis=2), spec))

    def test_every_grey_level_survives_the_way_over_colour(self):
        levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
        row = prepare(np.stack([levels] * 3, axis=2), InputSpec(16, 1))
        np.testing.assert_array_equal(row[..., 0], levels)

    def test_an_image_of_the_right_form_stays_as_it_is(self, draw):
        image = draw(4)
        np.testing.assert_array_equal(prepare(image, InputSpec(48, 3)), image)
        np.testing.assert_array_equal(prepare(image[..., 0], InputSpec(48, 1))[..., 0], image[..., 0])

    def test_colours_are_bgr(self):
        red = np.zeros((4, 4, 3), np.uint8)
        red[..., 2] = 255
        assert prepare(red, InputSpec(4, 1))[0, 0, 0] == 76  # 0.299 * 255, ITU-R BT.601

    def test_shrinking_averages_areas(self):
        fine = np.tile(np.array([[0, 0, 0, 0], [0, 200, 200, 0]] * 2, np.uint8), (8, 8))
        np.testing.assert_array_equal(prepare(fine, InputSpec(8, 1)), np.full((8, 8, 1), 50))

    def test_enlarging_is_smooth(self):
        edge = np.array([[0, 200]] * 2, np.uint8)
        row = prepare(edge, InputSpec(8, 1))[4, :, 0].astype(int)
        assert len(set(row)) > 2
        assert (np.diff(row) >= 0).all()

    @pytest.mark.parametrize(
        "view",
        [lambda image: image[:, ::-1], lambda image: image[5:90:2, 3:80], lambda image: image.transpose(1, 0, 2)],
        ids=["mirrored", "cut out", "turned"],
    )
    @pytest.mark.parametrize("channels", [1, 3])
    def test_views_give_what_copies_give(self, draw, view, channels):
        image, spec = view(draw(5, 100, 100)), InputSpec(48, channels)
        np.testing.assert_array_equal(prepare(image, spec), prepare(image.copy(), spec))

    def test_the_input_stays_untouched(self, draw):
        image = draw(6, 60, 60)
        before = image.copy()
        prepare(image, InputSpec(48, 1))
        np.testing.assert_array_equal(image, before)

    @pytest.mark.parametrize(
        "array",
        [
            np.zeros((48, 48), np.uint16),
            np.zeros((48, 48, 3), np.float32),
            np.zeros((48, 48), bool),
            np.zeros((48, 48, 1), np.uint8),
            np.zeros((48, 48, 4), np.uint8),
            np.zeros((3, 48, 48), np.uint8),
            np.zeros((2, 48, 48, 3), np.uint8),
            np.zeros(48, np.uint8),
            np.zeros((0, 48, 3), np.uint8),
        ],
        ids=lambda array: f"{array.dtype} {array.shape}",
    )
    def test_other_arrays_are_refused(self, array):
        with pytest.raises(FerError, match="expected an image uint8") as error:
            prepare(array, InputSpec())
        assert f"{array.dtype} {array.shape}" in str(error.value)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tif"])
def test_encode(image, suffix):
    decoded = cv2.imdecode(np.frombuffer(images.encode(image, suffix), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(decoded.astype(int) - image).mean() < 4


@pytest.mark.parametrize("suffix", [".gif2", "", ".txt"])
def test_encode_refuses(image, suffix):
    with pytest.raises(FerError, match="images cannot be written as"):
        images.encode(image, suffix)
