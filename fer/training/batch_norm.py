"""Batch normalization as one operation of TensorFlow, for training.

Keras 3 computes it from a dozen elementwise operations in float32. On a CPU these took more than half of a training
step (benchmarks/train_input.py); XLA, which would fuse them, is not an option there (see `fer.models.device`). JAX
and PyTorch do not need this.
"""

import keras


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """The same function, weights and statistics as the class of Keras, of images (n, height, width, channels).

    Only for networks in training: model files hold the layer of Keras.
    """

    def call(self, inputs, training=None, mask=None):
        import tensorflow as tf

        training = bool(training and self.trainable)
        statistics = [tf.zeros([0])] * 2 if training else [self.moving_mean.value, self.moving_variance.value]
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma.value,
            offset=self.beta.value,
            mean=statistics[0],
            variance=statistics[1],
            epsilon=self.epsilon,
            is_training=training,
        )
        if training:
            n = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), variance.dtype)
            variance *= (n - 1) / n  # the operation returns that of a sample, Keras averages that of the batch
            self.moving_mean.assign(self.moving_mean * self.momentum + mean * (1 - self.momentum))
            self.moving_variance.assign(self.moving_variance * self.momentum + variance * (1 - self.momentum))
        return outputs


def _fits(layer: keras.Layer) -> bool:
    """Whether TensorFlow's operation computes this layer: the channels of images normalized, with scale and offset."""
    if not isinstance(layer, keras.layers.BatchNormalization) or not (layer.scale and layer.center):
        return False
    return len(layer.input.shape) == 4 and layer.axis in (-1, 3)


def fused(network: keras.Model) -> keras.Model:
    """The network to train: under TensorFlow a copy whose layers normalize images in one operation, else itself."""
    if keras.backend.backend() != "tensorflow":
        return network

    def clone(layer):
        kind = FusedBatchNormalization if _fits(layer) else layer.__class__
        return kind.from_config(layer.get_config())

    copy = keras.models.clone_model(network, clone_function=clone)
    copy.set_weights(network.get_weights())
    return copy
