"""Augmentation measured on synthetic images: where a spot of light goes, how bright it comes back, what is erased."""

import cv2
import keras
import numpy as np
import pytest

from fer.training.augmentation import ERASED_SHARE, Augmentation
from fer.training.recipe import AUGMENTATION
from fer.training.recipes import RECIPES

SIDE = 33  # odd: pixel 16 is the centre
N = 400
EVERYTHING = {"flip": True, "rotation": 20.0, "zoom": 0.2, "shift": 0.1, "shear": 10.0, "brightness": 0.3,
              "contrast": 0.3, "blur": 0.05, "darkness": 0.6, "noise": 0.1, "erasing": 0.5}  # fmt: skip


def augment(images, *, seed=3, **amounts):
    layer = Augmentation(seed=seed, **amounts)
    return keras.ops.convert_to_numpy(layer(images, training=True))


def spots(x, y, n=N, channels=1):
    """n equal images of one soft spot at (x, y) pixels from the centre; float32 (n, SIDE, SIDE, channels)."""
    down, right = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    spot = 200 * np.exp(-((right - x) ** 2 + (down - y) ** 2) / 8)
    return np.broadcast_to(spot[None, :, :, None], (n, SIDE, SIDE, channels)).astype(np.float32)


def centroids(images):
    """Where each image's spot is: float (n, 2), x and y from the centre."""
    positions = np.arange(SIDE) - SIDE // 2
    light = images[..., 0]
    total = light.sum(axis=(1, 2))
    return np.stack([(light.sum(axis=1) @ positions) / total, (light.sum(axis=2) @ positions) / total], axis=1)


def assert_spread(values, low, high, tolerance=0.0):
    """Uniform over low..high: never outside, and close to both ends and to the middle."""
    assert low - tolerance <= values.min() < low + 0.05 * (high - low)
    assert high - 0.05 * (high - low) < values.max() <= high + tolerance
    assert values.mean() == pytest.approx((low + high) / 2, abs=0.1 * (high - low))


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (16, SIDE, SIDE, 3), np.uint8)


def test_nothing_happens_outside_of_training(noise):
    result = Augmentation(seed=1, **EVERYTHING)(noise)
    np.testing.assert_array_equal(result, noise)
    assert keras.backend.standardize_dtype(result.dtype) == "float32"


def test_nothing_happens_when_all_amounts_are_zero(noise):
    result = augment(noise)
    np.testing.assert_array_equal(result, noise)
    assert result.dtype == np.float32


def test_every_amount_alone_does_something(noise):
    for name in AUGMENTATION:
        assert (augment(noise, **{name: EVERYTHING[name]}) != noise).any(), name


def test_flip_mirrors_half_of_the_images_exactly():
    images = np.random.default_rng(0).integers(0, 256, (N, 12, 12, 1), np.uint8)
    result = augment(images, flip=True)
    mirrored = (result == images[:, :, ::-1]).all(axis=(1, 2, 3))
    kept = (result == images).all(axis=(1, 2, 3))
    assert (mirrored ^ kept).all()
    assert 0.4 < mirrored.mean() < 0.6


def test_shift_moves_both_ways_along_both_axes_up_to_the_amount():
    found = centroids(augment(spots(0, 0), shift=0.2))
    for axis in (0, 1):
        assert_spread(found[:, axis], -0.2 * SIDE, 0.2 * SIDE, tolerance=0.3)
    assert abs(np.corrcoef(found.T)[0, 1]) < 0.2


def test_rotation_turns_about_the_centre_up_to_the_amount():
    found = centroids(augment(spots(9, 0), rotation=30.0))
    assert_spread(np.degrees(np.arctan2(found[:, 1], found[:, 0])), -30, 30, tolerance=0.5)
    np.testing.assert_allclose(np.hypot(*found.T), 9, atol=0.1)


def test_zoom_scales_width_and_height_apart():
    found = centroids(augment(spots(7, 7), zoom=0.2))
    shown = 7 / found  # 0.8 to 1.2 of the image: what was 7 pixels away is now 7 / 0.8 to 7 / 1.2
    for axis in (0, 1):
        assert_spread(shown[:, axis], 0.8, 1.2, tolerance=0.01)
    assert abs(np.corrcoef(shown.T)[0, 1]) < 0.2


def test_shear_leans_what_stands_and_leaves_what_lies():
    standing = centroids(augment(spots(0, 9), shear=20.0))
    assert_spread(np.degrees(np.arctan2(standing[:, 0], standing[:, 1])), -20, 20, tolerance=0.5)
    lying = centroids(augment(spots(9, 0), shear=20.0))
    np.testing.assert_allclose(lying, np.tile([9, 0], (N, 1)), atol=0.1)


def test_the_edge_is_repeated_where_the_image_was_moved_away():
    images = np.full((N, 12, 12, 1), 90, np.uint8)
    np.testing.assert_allclose(
        augment(images, rotation=40.0, zoom=0.3, shift=0.3, shear=20.0, flip=True), 90, atol=1e-3
    )


def test_all_channels_move_together():
    result = augment(spots(5, -5, channels=3), **EVERYTHING | {"erasing": 0.0, "noise": 0.0})
    np.testing.assert_allclose(result[..., 1], result[..., 0], atol=1e-4)
    np.testing.assert_allclose(result[..., 2], result[..., 0], atol=1e-4)


def test_images_of_one_batch_are_changed_differently():
    found = centroids(augment(spots(5, 5), rotation=30.0))
    assert len(np.unique(found.round(4), axis=0)) > 0.9 * N


def test_brightness_adds_up_to_its_share_of_the_full_range():
    images = np.full((N, 6, 6, 1), 128, np.uint8)
    result = augment(images, brightness=0.2)
    assert_spread(result[:, 0, 0, 0] - 128, -51, 51, tolerance=1e-3)
    np.testing.assert_allclose(result, np.broadcast_to(result[:, :1, :1], result.shape))  # one offset an image


def test_brightness_stays_within_what_a_pixel_can_be():
    images = np.stack([np.full((6, 6, 1), 240, np.uint8), np.full((6, 6, 1), 15, np.uint8)] * (N // 2))
    result = augment(images, brightness=0.5, contrast=0.5)
    assert result.min() == 0
    assert result.max() == 255


def test_contrast_scales_about_the_mean_of_the_image():
    images = np.full((N, 6, 6, 1), 90, np.uint8)
    images[:, :3] = 150
    result = augment(images, contrast=0.4)
    assert_spread((result[:, 0, 0, 0] - result[:, 5, 0, 0]) / 60, 0.6, 1.4, tolerance=1e-4)
    np.testing.assert_allclose(result.mean(axis=(1, 2, 3)), 120, rtol=1e-5)


def test_blur_spreads_up_to_its_share_of_the_side_in_half_of_the_images():
    images = spots(0, 0)
    result = augment(images, blur=0.06)
    blurred = np.abs(result - images).max(axis=(1, 2, 3)) > 1e-3
    assert 0.35 < blurred.mean() < 0.6  # some are blurred too little to tell
    np.testing.assert_allclose(result.sum(axis=(1, 2, 3)), images.sum(axis=(1, 2, 3)), rtol=1e-3)  # no light is lost
    positions = np.arange(SIDE) - SIDE // 2
    for axis in (1, 2):
        profile = result[blurred, ..., 0].sum(axis=axis)
        variance = profile @ positions**2 / profile.sum(axis=1)  # those of spot and blur add up
        assert_spread(np.sqrt(np.maximum(variance - 4, 0)), 0, 0.06 * SIDE, tolerance=0.01)


def test_blur_is_that_of_opencv():
    images = np.random.default_rng(0).uniform(0, 255, (1, SIDE, SIDE, 1)).astype(np.float32)
    images = np.repeat(images, 8, axis=0)
    result = augment(images, blur=0.06)
    layer = Augmentation(seed=3)
    deviations = keras.ops.convert_to_numpy(layer._of_half(images, 0.06 * SIDE)).ravel()
    assert deviations.max() > 1
    inner = slice(9, -9)  # beyond the reach of the edges, which OpenCV treats otherwise
    for found, image, deviation in zip(result, images, deviations, strict=True):
        expected = cv2.GaussianBlur(image, (SIDE, SIDE), deviation)[..., None] if deviation else image
        np.testing.assert_allclose(found[inner, inner], expected[inner, inner], atol=0.05)


def test_blur_keeps_the_light_at_the_edges():
    np.testing.assert_allclose(augment(np.full((N, 12, 12, 1), 90, np.uint8), blur=0.2), 90, rtol=1e-3)


def test_darkness_scales_down_half_of_the_images():
    images = np.full((N, 6, 6, 1), 200, np.uint8)
    images[:, :3] = 50
    result = augment(images, darkness=0.8)
    np.testing.assert_allclose(result[:, 3:], 4 * result[:, :3], rtol=1e-5)
    factors = result[:, 5, 0, 0] / 200
    darkened = factors < 1
    assert 0.4 < darkened.mean() < 0.6
    assert_spread(factors[darkened], 0.2, 1)


def test_noise_has_up_to_its_standard_deviation_in_half_of_the_images():
    images = np.full((N, 40, 40, 3), 128, np.uint8)
    noise = augment(images, noise=0.1) - 128
    noisy = noise.any(axis=(1, 2, 3))
    assert 0.4 < noisy.mean() < 0.6
    assert_spread(noise[noisy].std(axis=(1, 2, 3)), 0, 25.5, tolerance=1.5)
    np.testing.assert_allclose(noise.mean(axis=(1, 2, 3)), 0, atol=3)
    strongest = np.argsort(noise.std(axis=(1, 2, 3)))[-20:]
    fields = noise[strongest].transpose(0, 3, 1, 2).reshape(60, -1)  # one for each image and channel
    correlations = np.corrcoef(fields) - np.eye(60)
    assert np.abs(correlations).max() < 0.15


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_erasing_hits_the_share_of_the_images_that_was_asked_for(share):
    changed = augment(np.full((N, 20, 20, 1), 7, np.uint8), erasing=share) != 7
    assert changed.any(axis=(1, 2, 3)).mean() == pytest.approx(share, abs=0.07 if share < 1 else 0)


def test_erasing_fills_one_rectangle_of_bounded_area_with_one_grey():
    result = augment(np.full((N, 40, 40, 3), 7, np.uint8), erasing=1.0)
    areas = []
    for image in result:
        rows, columns = np.nonzero(image[..., 0] != 7)
        inside = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert inside.shape[0] * inside.shape[1] == len(rows)  # a rectangle, full
        assert np.ptp(inside) == 0  # one grey, in all channels
        assert 0.4 < inside.shape[0] / inside.shape[1] < 2.5
        areas.append(len(rows) / 40**2)
    # A side of a whole number of pixels can be one pixel longer or shorter than was drawn.
    assert 0.7 * ERASED_SHARE[0] < min(areas) < 0.04
    assert 0.15 < max(areas) < 1.2 * ERASED_SHARE[1]
    assert np.mean(areas) == pytest.approx(sum(ERASED_SHARE) / 2, abs=0.01)


@pytest.mark.parametrize("axis", [0, 1])
def test_erased_rectangles_reach_every_part_of_the_image_up_to_its_edges(axis):
    hits = (augment(np.full((4 * N, 12, 12, 1), 7, np.uint8), erasing=1.0) != 7).mean(axis=(0, 3)).mean(axis=axis)
    assert hits.min() > 0
    np.testing.assert_allclose(hits, hits[::-1], rtol=0.35)


def test_the_same_state_gives_the_same_result_and_the_next_call_another(noise):
    layer = Augmentation(seed=1, **EVERYTHING)
    first, second = (keras.ops.convert_to_numpy(layer(noise, training=True)) for _ in range(2))
    layer.seed_generator.state.assign(Augmentation(seed=1).seed_generator.state)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer(noise, training=True)), first)
    np.testing.assert_array_equal(augment(noise, seed=1, **EVERYTHING), first)
    assert (first != second).any()
    assert (first != augment(noise, seed=2, **EVERYTHING)).any()


def test_the_result_stays_float32_within_the_range_of_pixels(noise):
    result = augment(np.tile(noise, (8, 1, 1, 1)), **EVERYTHING)
    assert result.dtype == np.float32
    assert result.min() >= 0
    assert result.max() <= 255


def test_mixed_precision_changes_nothing(noise):
    expected = augment(noise, **EVERYTHING)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        result = augment(noise, **EVERYTHING)
    finally:
        keras.config.set_dtype_policy("float32")
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, expected)


def test_a_recipe_hands_over_every_amount():
    recipe = RECIPES["vgg"]
    layer = Augmentation.from_recipe(recipe, seed=1)
    assert {name: getattr(layer, name) for name in AUGMENTATION} == {
        name: getattr(recipe, name) for name in AUGMENTATION
    }


def test_a_smaller_side_shrinks_about_the_centre():
    layer = Augmentation(seed=1)
    layer.side = SIDE // 3
    result = keras.ops.convert_to_numpy(layer(spots(6, -3, n=2), training=True))
    assert result.shape == (2, SIDE // 3, SIDE // 3, 1)
    row, column = np.unravel_index(result[0, ..., 0].argmax(), result.shape[1:3])
    centre = SIDE // 3 // 2
    assert (column - centre, row - centre) == (2, -1)  # a third of where it was


def test_a_smaller_side_is_for_training_only(noise):
    layer = Augmentation(seed=1, flip=True)
    layer.side = 8
    np.testing.assert_array_equal(layer(noise), noise)


def test_a_smaller_side_shows_the_same_part_whatever_else_is_done():
    """Both sizes draw the same numbers: the small result is the large one, sampled more coarsely."""
    amounts = {"rotation": 20.0, "zoom": 0.2, "shift": 0.1}
    image = spots(3, 2, n=8)
    large = augment(image, seed=5, **amounts)
    layer = Augmentation(seed=5, **amounts)
    layer.side = SIDE // 3
    small = keras.ops.convert_to_numpy(layer(image, training=True))
    np.testing.assert_allclose(small, large[:, 1::3, 1::3], atol=1.0)
