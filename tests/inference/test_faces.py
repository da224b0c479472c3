"""Boxes, faces that share a place, and crops that look like training images."""

import itertools

import numpy as np
import pytest
from support import portrait
from support.portrait import PLACE, turn

from fer.inference.faces import Box, Face, crop, non_max_suppression, turn_back


@pytest.fixture(scope="module")
def astronaut():
    return portrait.astronaut()


class TestBox:
    @pytest.mark.parametrize(
        ("other", "overlap"),
        [
            (Box(10, 20, 30, 40), 1),
            (Box(10, 40, 30, 40), 1 / 3),
            (Box(10, 20, 30, 20), 1 / 2),
            (Box(20, 30, 10, 10), 1 / 12),
            (Box(40, 20, 30, 40), 0),
            (Box(100, 100, 1, 1), 0),
        ],
    )
    def test_overlap(self, other, overlap):
        box = Box(10, 20, 30, 40)
        assert box.overlap(other) == other.overlap(box) == pytest.approx(overlap)

    @pytest.mark.parametrize(
        ("centre", "side", "box"),
        [
            ((50, 40), 20, Box(40, 30, 20, 20)),
            ((50.5, 40.5), 21, Box(40, 30, 21, 21)),
            ((2, 40), 20, Box(0, 30, 20, 20)),
            ((99, 79), 20, Box(80, 60, 20, 20)),
            ((-500, 900), 20, Box(0, 60, 20, 20)),
            ((50, 40), 300, Box(10, 0, 80, 80)),
            ((50, 40), 0.1, Box(50, 40, 1, 1)),
        ],
    )
    def test_a_square_is_shifted_into_the_image_and_shrinks_only_with_it(self, centre, side, box):
        assert Box.square(centre, side, (80, 100, 3)) == box


class TestDistinct:
    near, same, inner, other = Box(0, 0, 40, 40), Box(8, 0, 40, 40), Box(10, 10, 15, 15), Box(30, 0, 40, 40)

    def test_of_boxes_in_one_place_the_surest_stays(self):
        for order in itertools.permutations(
            [Face(self.near, 1.0), Face(self.same, 3.0), Face(self.inner, 2.0), Face(self.other, 0.5)]
        ):
            assert [face.box for face in non_max_suppression(list(order))] == [self.same, self.other]

    def test_the_largest_comes_first_and_ties_have_an_order(self):
        boxes = [Box(200, 0, 50, 50), Box(0, 0, 40, 40), Box(100, 0, 40, 40), Box(0, 100, 40, 40)]
        for order in itertools.permutations(boxes):
            assert [face.box for face in non_max_suppression([Face(box, 1.0) for box in order])] == boxes


class TestCrop:
    box = Box(20, 30, 40, 40)

    @pytest.mark.parametrize("tilt", [0.0, 7.5, -20.0])
    def test_a_head_about_upright_is_a_plain_slice(self, draw, tilt):
        image = draw(1, 100, 120)
        np.testing.assert_array_equal(crop(image, Face(Box(20, 30, 40, 41), 1.0, tilt=tilt)), image[30:71, 20:60])

    def test_a_lying_head_is_turned_upright_pixel_by_pixel(self, draw):
        image = draw(3, 100, 120)
        slice_ = image[30:70, 20:60]
        np.testing.assert_array_equal(crop(image, Face(self.box, 1.0, tilt=90.0)), np.rot90(slice_))
        np.testing.assert_array_equal(crop(image, Face(self.box, 1.0, tilt=-90.0)), np.rot90(slice_, -1))

    @pytest.mark.parametrize("tilt", [-40, 25, 70])
    def test_any_tilt_is_undone(self, astronaut, tilt):
        upright = crop(astronaut, Face(PLACE, 1.0)).astype(int)
        turned = turn(astronaut, tilt)
        error = {sign: np.abs(crop(turned, Face(PLACE, 1.0, tilt=sign * tilt)) - upright).mean() for sign in (1, 0, -1)}
        assert error[1] < 6 < 30 < min(error[0], error[-1])

    @pytest.mark.parametrize("tilt", [0.0, 45.0, -130.0])
    @pytest.mark.parametrize("box", [Box(0, 0, 30, 30), Box(90, 70, 30, 30), Box(0, 60, 40, 40), Box(119, 99, 1, 1)])
    def test_at_the_edges(self, draw, box, tilt):
        image = draw(4, 100, 120)
        before = image.copy()
        found = crop(image, Face(box, 1.0, tilt=tilt))
        assert found.dtype == np.uint8
        assert found.shape == (box.width, box.width, 3)
        np.testing.assert_array_equal(image, before)

    def test_in_an_image_wider_than_opencv_warps(self):
        image = np.zeros((30, 40_000, 3), np.uint8)
        image[:, 39_000:39_015] = 200
        found = crop(image, Face(Box(39_000, 0, 30, 30), 1.0, tilt=180.0))
        assert (found[:, 15:] == 200).all()
        assert not found[:, :15].any()

    @pytest.mark.parametrize("tilt", [0.0, 15.0, 30.0, -45.0, 90.0, 180.0])
    def test_what_is_found_in_a_crop_lies_where_it_is_in_the_image(self, tilt):
        """A bright spot of the image, found in the crop, is at its place in the box after `turn_back`."""
        image = np.zeros((100, 120, 3), np.uint8)
        image[38:44, 44:50] = 255  # the box has its corner at 20, 30
        face = Face(self.box, 1.0, tilt=tilt)
        back = turn_back(crop(image, face)[..., 0].astype(np.float32) / 255, face)
        assert back.shape == (40, 40)
        y, x = np.argwhere(back > 0.5).mean(axis=0)
        assert (x, y) == pytest.approx((26.5, 10.5), abs=0.6)
