"""Random changes to training images, as one Keras layer that runs on the training device."""

import math

import keras
from keras import ops

from fer.training.recipe import AUGMENTATION, Recipe

ERASED_SHARE = (0.02, 0.2)  # area of an erased rectangle, as a share of the image (Zhong et al. 2020 go to 0.4)
ERASED_ASPECT = (0.5, 2.0)  # its height over its width


class Augmentation(keras.layers.Layer):
    """Flip, rotation, zoom, shift, shear, blur, darkness, contrast, brightness, noise and erasing; in training only.

    All geometry is one affine map with a single bilinear resampling: faster than one layer per change, and an image
    is blurred once, not five times. Amounts have the names and meanings of the augmentation fields of `Recipe`; one
    that is not given is 0. A new augmentation takes two steps: a field of `Recipe`, and its use in `call`.

    Attributes:
        side: height and width in training, pixels, part of the same map; None for those of the images.

    Call: pixels (n, size, size, channels) valued 0..255 -> float32 of the same shape (in training `side` x `side`),
        valued 0..255.
    """

    def __init__(self, *, seed: int = 0, **amounts):
        # float32 whatever the policy: bfloat16 holds 0..255 only in whole steps.
        super().__init__(dtype="float32")
        if unknown := amounts.keys() - AUGMENTATION.keys():
            raise TypeError(f"unknown augmentation: {', '.join(sorted(unknown))}")
        self.seed_generator = keras.random.SeedGenerator(seed)
        for name, off in AUGMENTATION.items():
            setattr(self, name, amounts.get(name, off))
        self.side = None

    @classmethod
    def from_recipe(cls, recipe: Recipe, *, seed: int) -> "Augmentation":
        return cls(seed=seed, **{name: getattr(recipe, name) for name in AUGMENTATION})

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, images, training=False):
        images = ops.cast(images, "float32")
        if not training:
            return images
        if self.flip or self.rotation or self.zoom or self.shift or self.shear or self.side:
            images = ops.image.affine_transform(images, self._affine(images), fill_mode="nearest")
        if self.side:
            images = images[:, : self.side, : self.side]
        if self.blur:
            images = self._blur(images)
        if self.darkness:
            images = images * (1 - self._of_half(images, self.darkness))
        if self.contrast or self.brightness:
            images = self._relight(images)
        if self.noise:  # after blur and darkness: the sensor adds it last
            noise = keras.random.normal(ops.shape(images), dtype="float32", seed=self.seed_generator)
            images = ops.clip(images + noise * self._of_half(images, self.noise) * 255, 0, 255)
        if self.erasing:
            images = self._erase(images)
        return images

    def _uniform(self, n, low, high):
        return keras.random.uniform((n, 1), low, high, dtype="float32", seed=self.seed_generator)

    def _of_half(self, images, most):
        """(n, 1, 1, 1): an amount from 0 to `most` for half of the images, 0 for the others."""
        return ops.reshape(ops.maximum(self._uniform(ops.shape(images)[0], -most, most), 0), (-1, 1, 1, 1))

    def _affine(self, images):
        """Eight numbers per image, mapping output to input pixels: rotation x shear x scale about the centre."""
        n, height, width = ops.shape(images)[0], images.shape[1], images.shape[2]
        angle = self._uniform(n, -1.0, 1.0) * math.radians(self.rotation)
        slant = self._uniform(n, -1.0, 1.0) * math.radians(self.shear)
        # Inverse scale, because the map runs from output to input: zoom 0.2 shows 0.8 to 1.2 of the image.
        scale_x = self._uniform(n, 1 - self.zoom, 1 + self.zoom)
        scale_y = self._uniform(n, 1 - self.zoom, 1 + self.zoom)
        if self.flip:
            scale_x = ops.where(self._uniform(n, 0.0, 1.0) < 0.5, -scale_x, scale_x)
        side_x, side_y = self.side or width, self.side or height
        scale_x, scale_y = scale_x * (width / side_x), scale_y * (height / side_y)
        a0, a1 = ops.cos(angle) * scale_x, -ops.sin(angle + slant) * scale_y
        b0, b1 = ops.sin(angle) * scale_x, ops.cos(angle + slant) * scale_y
        x, y = (side_x - 1) / 2, (side_y - 1) / 2  # the centre of the output lies on the centre of the input
        a2 = (width - 1) / 2 - a0 * x - a1 * y + self._uniform(n, -1.0, 1.0) * self.shift * width
        b2 = (height - 1) / 2 - b0 * x - b1 * y + self._uniform(n, -1.0, 1.0) * self.shift * height
        zeros = ops.zeros_like(a0)
        return ops.concatenate([a0, a1, a2, b0, b1, b2, zeros, zeros], axis=1)

    def _blur(self, images):
        """Each row and column as weighted means, one matrix per image; weights outside of the image are left out."""
        side = images.shape[1]
        deviation = self._of_half(images, self.blur * side)
        position = ops.arange(side, dtype="float32")
        distance = position[:, None] - position[None, :]
        weights = ops.exp(-0.5 * ops.square(distance / ops.maximum(deviation, 1e-3)[:, :, :, 0]))
        weights = weights / ops.sum(weights, axis=2, keepdims=True)
        blurred = ops.einsum("njl,nilc->nijc", weights, ops.einsum("nik,nklc->nilc", weights, images))
        return ops.where(deviation > 0, blurred, images)  # a GPU's matrix product rounds even where nothing changes

    def _relight(self, images):
        n = ops.shape(images)[0]
        gain = ops.reshape(self._uniform(n, 1 - self.contrast, 1 + self.contrast), (n, 1, 1, 1))
        offset = ops.reshape(self._uniform(n, -255.0, 255.0) * self.brightness, (n, 1, 1, 1))
        mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
        return ops.clip((images - mean) * gain + mean + offset, 0, 255)

    def _erase(self, images):
        """Fills one rectangle with one random grey in the share `erasing` of the images."""
        n, height, width = ops.shape(images)[0], images.shape[1], images.shape[2]
        area = self._uniform(n, *ERASED_SHARE) * height * width
        aspect = ops.exp(self._uniform(n, *map(math.log, ERASED_ASPECT)))
        tall, wide = ops.sqrt(area * aspect), ops.sqrt(area / aspect)
        chosen = self._uniform(n, 0.0, 1.0) < self.erasing
        rows = self._span(n, height, tall)
        columns = self._span(n, width, wide)
        erased = ops.logical_and(ops.expand_dims(rows, 2), ops.expand_dims(columns, 1))
        erased = ops.logical_and(erased, ops.reshape(chosen, (n, 1, 1)))
        grey = ops.reshape(self._uniform(n, 0.0, 255.0), (n, 1, 1, 1))
        return ops.where(ops.expand_dims(erased, 3), grey, images)

    def _span(self, n, side, length):
        """bool (n, side): true over `length` pixels from a random start."""
        start = self._uniform(n, 0.0, 1.0) * (side - length)
        positions = ops.reshape(ops.arange(side, dtype="float32") + 0.5, (1, side))  # centres of the pixels
        return ops.logical_and(positions >= start, positions < start + length)
