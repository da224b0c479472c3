"""The models that keras2_files.py writes with an older Keras: layers, operations of TensorFlow, whole models."""

import sys

import numpy as np
import tensorflow as tf

SIDE, CHANNELS, K = 12, 3, 4
x_images = np.random.RandomState(0).rand(3, SIDE, SIDE, CHANNELS).astype(np.float32)


def layer_cases(keras):
    """Name -> function from the input tensor to another: every layer that an image classifier can hold."""
    L = keras.layers
    sequence = lambda x: L.Reshape((SIDE * SIDE, CHANNELS))(x)  # noqa: E731
    volume = lambda x: L.Reshape((SIDE, SIDE, CHANNELS, 1))(x)  # noqa: E731
    frames = lambda x: L.Reshape((3, 4, SIDE, CHANNELS))(x)  # noqa: E731
    rows = lambda x: L.Reshape((SIDE, SIDE * CHANNELS))(x)  # noqa: E731
    cases = {
        "activation": lambda x: L.Activation("relu")(x),
        "activity_regularization": lambda x: L.ActivityRegularization(0.1)(x),
        "additive_attention": lambda x: L.AdditiveAttention()([rows(x), rows(x)]),
        "alpha_dropout": lambda x: L.AlphaDropout(0.5)(x),
        "attention": lambda x: L.Attention(use_scale=True)([rows(x), rows(x)]),
        "attention_concat": lambda x: L.Attention(score_mode="concat")([rows(x), rows(x)]),
        "average_pooling_1d": lambda x: L.AveragePooling1D(3)(sequence(x)),
        "average_pooling_2d": lambda x: L.AveragePooling2D(3, strides=2, padding="same")(x),
        "average_pooling_3d": lambda x: L.AveragePooling3D((2, 2, 1))(volume(x)),
        "batch_normalization": lambda x: L.BatchNormalization(epsilon=0.01)(x),
        "batch_normalization_renorm": lambda x: L.BatchNormalization(renorm=True)(x),
        "batch_normalization_plain": lambda x: L.BatchNormalization(center=False, scale=False)(x),
        "bidirectional_lstm": lambda x: L.Bidirectional(L.LSTM(3, return_sequences=True))(rows(x)),
        "bidirectional_gru": lambda x: L.Bidirectional(L.GRU(3), merge_mode="sum")(rows(x)),
        "center_crop": lambda x: L.CenterCrop(7, 8)(x),
        "conv_1d": lambda x: L.Conv1D(4, 3, dilation_rate=2, padding="causal")(sequence(x)),
        "conv_1d_transpose": lambda x: L.Conv1DTranspose(4, 3, strides=2)(sequence(x)),
        "conv_2d": lambda x: L.Conv2D(6, 3, strides=2, padding="same", groups=3, activation="relu")(x),
        "conv_2d_regularized": lambda x: L.Conv2D(
            4,
            3,
            kernel_initializer="he_normal",
            kernel_regularizer=keras.regularizers.l2(1e-3),
            bias_regularizer="l1",
            activity_regularizer=keras.regularizers.l1_l2(1e-4, 1e-4),
            kernel_constraint=keras.constraints.MaxNorm(3),
        )(x),
        "conv_2d_transpose": lambda x: L.Conv2DTranspose(4, 3, strides=2, padding="same", output_padding=1)(x),
        "conv_3d": lambda x: L.Conv3D(2, 3)(volume(x)),
        "conv_3d_transpose": lambda x: L.Conv3DTranspose(2, 3)(volume(x)),
        "conv_lstm_1d": lambda x: L.ConvLSTM1D(2, 3)(L.Reshape((3, 4 * SIDE, CHANNELS))(x)),
        "conv_lstm_2d": lambda x: L.ConvLSTM2D(2, 3, padding="same")(frames(x)),
        "conv_lstm_3d": lambda x: L.ConvLSTM3D(2, 2)(L.Reshape((2, 3, 2, SIDE, CHANNELS))(x)),
        "cropping_1d": lambda x: L.Cropping1D((1, 2))(sequence(x)),
        "cropping_2d": lambda x: L.Cropping2D(((1, 2), (3, 1)))(x),
        "cropping_3d": lambda x: L.Cropping3D(((1, 2), (3, 1), (1, 0)))(volume(x)),
        "dense": lambda x: L.Dense(5, activation="tanh")(x),
        "depthwise_conv_1d": lambda x: L.DepthwiseConv1D(3, depth_multiplier=2)(sequence(x)),
        "depthwise_conv_2d": lambda x: L.DepthwiseConv2D(3, depth_multiplier=2, padding="same", use_bias=False)(x),
        "dot": lambda x: L.Dot(axes=2, normalize=True)([rows(x), rows(x)]),
        "dropout": lambda x: L.Dropout(0.5, noise_shape=(None, 1, 1, CHANNELS))(x),
        "einsum_dense": lambda x: L.EinsumDense("abcd,de->abce", (None, SIDE, 5), bias_axes="e", activation="relu")(x),
        "elu": lambda x: L.ELU(0.7)(x - 0.5),
        "flatten": lambda x: L.Flatten()(x),
        "gaussian_dropout": lambda x: L.GaussianDropout(0.5)(x),
        "gaussian_noise": lambda x: L.GaussianNoise(0.5)(x),
        "global_average_pooling_1d": lambda x: L.GlobalAveragePooling1D()(sequence(x)),
        "global_average_pooling_2d": lambda x: L.GlobalAveragePooling2D(keepdims=True)(x),
        "global_average_pooling_3d": lambda x: L.GlobalAveragePooling3D()(volume(x)),
        "global_max_pooling_1d": lambda x: L.GlobalMaxPooling1D()(sequence(x)),
        "global_max_pooling_2d": lambda x: L.GlobalMaxPooling2D()(x),
        "global_max_pooling_3d": lambda x: L.GlobalMaxPooling3D()(volume(x)),
        "group_normalization": lambda x: L.GroupNormalization(2)(L.Conv2D(4, 1)(x)),
        "gru": lambda x: L.GRU(4)(rows(x)),
        "gru_reset_before": lambda x: L.GRU(4, reset_after=False)(rows(x)),
        "identity": lambda x: L.Identity()(x),
        "layer_normalization": lambda x: L.LayerNormalization(epsilon=0.01)(x),
        "layer_normalization_axes": lambda x: L.LayerNormalization(axis=[1, 2])(x),
        "leaky_relu": lambda x: L.LeakyReLU(0.2)(x - 0.5),
        "leaky_relu_default": lambda x: L.LeakyReLU()(x - 0.5),
        "lstm": lambda x: L.LSTM(4, return_sequences=True, go_backwards=True)(rows(x)),
        "masking": lambda x: L.LSTM(4)(L.Masking()(rows(x))),
        "max_pooling_1d": lambda x: L.MaxPooling1D(3)(sequence(x)),
        "max_pooling_2d": lambda x: L.MaxPooling2D((3, 2), strides=(2, 1), padding="same")(x),
        "max_pooling_3d": lambda x: L.MaxPooling3D((2, 2, 1))(volume(x)),
        "merges": lambda x: L.Concatenate()(
            [
                L.Add()([x, x]),
                L.Average()([x, L.ReLU()(x - 0.5)]),
                L.Maximum()([x, L.Softmax()(x)]),
                L.Minimum()([x, L.Softmax(axis=1)(x)]),
                L.Multiply()([x, x]),
                L.Subtract()([x, L.Softmax()(x)]),
            ]
        ),
        "multi_head_attention": lambda x: L.MultiHeadAttention(2, 3, value_dim=4, dropout=0.1)(rows(x), rows(x)),
        "multi_head_attention_2d": lambda x: L.MultiHeadAttention(2, 3, output_shape=5, use_bias=False)(x, x, x),
        "normalization": lambda x: adapted(L.Normalization(), "adapt")(x),
        "normalization_given": lambda x: L.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.1, 0.2, 0.3])(x),
        "permute": lambda x: L.Permute((2, 3, 1))(x),
        "prelu": lambda x: L.PReLU(shared_axes=[1, 2])(x - 0.5),
        "random_brightness": lambda x: L.RandomBrightness(0.2, value_range=(0, 1))(x),
        "random_contrast": lambda x: L.RandomContrast(0.2)(x),
        "random_crop": lambda x: L.RandomCrop(9, 8)(x),
        "random_flip": lambda x: L.RandomFlip("horizontal")(x),
        "random_height": lambda x: L.GlobalAveragePooling2D()(L.RandomHeight(0.2)(x)),
        "random_rotation": lambda x: L.RandomRotation(0.1, fill_mode="nearest")(x),
        "random_translation": lambda x: L.RandomTranslation(0.1, (-0.2, 0.2))(x),
        "random_width": lambda x: L.GlobalAveragePooling2D()(L.RandomWidth(0.2)(x)),
        "random_zoom": lambda x: L.RandomZoom((-0.2, 0.2), None)(x),
        "relu": lambda x: L.ReLU(max_value=0.7, negative_slope=0.1, threshold=0.2)(x),
        "relu_six": lambda x: L.ReLU(6.0)(x),
        "repeat_vector": lambda x: L.RepeatVector(2)(L.Flatten()(x)),
        "rescaling": lambda x: L.Rescaling(2.0, -0.5)(x),
        "rescaling_lists": lambda x: L.Rescaling([1.0, 2.0, 3.0], offset=[0.1, 0.2, 0.3])(x),
        "reshape": lambda x: L.Reshape((-1, 6))(x),
        "resizing": lambda x: L.Resizing(17, 9)(x),
        "resizing_crop": lambda x: L.Resizing(6, 9, interpolation="nearest", crop_to_aspect_ratio=True)(x),
        "resizing_bicubic": lambda x: L.Resizing(20, 20, interpolation="bicubic")(x),
        "rnn": lambda x: L.RNN(L.LSTMCell(4))(rows(x)),
        "rnn_stacked": lambda x: L.RNN([L.GRUCell(4), L.SimpleRNNCell(3)])(rows(x)),
        "separable_conv_1d": lambda x: L.SeparableConv1D(4, 3)(sequence(x)),
        "separable_conv_2d": lambda x: L.SeparableConv2D(4, 3, depth_multiplier=2, activation="relu")(x),
        "simple_rnn": lambda x: L.SimpleRNN(4)(rows(x)),
        "softmax": lambda x: L.Softmax(axis=[1, 2])(x),
        "spatial_dropout_1d": lambda x: L.SpatialDropout1D(0.5)(sequence(x)),
        "spatial_dropout_2d": lambda x: L.SpatialDropout2D(0.5)(x),
        "spatial_dropout_3d": lambda x: L.SpatialDropout3D(0.5)(volume(x)),
        "spectral_normalization": lambda x: L.SpectralNormalization(L.Conv2D(4, 3))(x),
        "thresholded_relu": lambda x: L.ThresholdedReLU(0.4)(x),
        "time_distributed": lambda x: L.TimeDistributed(L.Conv2D(2, 3, padding="same"))(frames(x)),
        "time_distributed_norm": lambda x: L.TimeDistributed(L.BatchNormalization())(frames(x)),
        "unit_normalization": lambda x: L.UnitNormalization()(x),
        "up_sampling_1d": lambda x: L.UpSampling1D(2)(sequence(x)),
        "up_sampling_2d": lambda x: L.UpSampling2D((2, 3))(x),
        "up_sampling_2d_bilinear": lambda x: L.UpSampling2D(2, interpolation="bilinear")(x),
        "up_sampling_3d": lambda x: L.UpSampling3D((1, 2, 1))(volume(x)),
        "zero_padding_1d": lambda x: L.ZeroPadding1D(2)(sequence(x)),
        "zero_padding_2d": lambda x: L.ZeroPadding2D(((1, 2), (0, 3)))(x),
        "zero_padding_3d": lambda x: L.ZeroPadding3D(1)(volume(x)),
        # Read as a refusal.
        "locally_connected_1d": lambda x: L.LocallyConnected1D(2, 3)(sequence(x)),
        "locally_connected_2d": lambda x: L.LocallyConnected2D(2, 3)(x),
        "lambda": lambda x: L.Lambda(lambda y: y / 2)(x),
    }
    names = ("elu", "exponential", "gelu", "hard_sigmoid", "linear", "mish", "relu", "selu", "sigmoid", "softmax",
             "softplus", "softsign", "swish", "tanh")  # fmt: skip
    for name in names:  # inside a layer, and as one
        cases[f"activation_{name}"] = lambda x, name=name: L.Activation(name)(L.Conv2D(4, 3, activation=name)(x))
    cases["activation_layer"] = lambda x: L.Conv2D(4, 3, activation=L.LeakyReLU(0.1))(x)
    cases["activation_function"] = lambda x: L.Conv2D(4, 3, activation=tf.nn.leaky_relu)(x)
    cases["activation_of_lstm"] = lambda x: L.LSTM(4, recurrent_activation="hard_sigmoid")(rows(x))
    return cases


def operation_cases(keras):
    """The same for calls of TensorFlow in a functional model: they become TFOpLambda and SlicingOpLambda layers."""
    backend = keras.backend
    return {
        "op_scale": lambda x: x / 127.5 - 1,
        "op_reversed": lambda x: 1 - x * 2.0,
        "op_divided_by": lambda x: 2.0 / (x + 1.0),
        "op_tensors": lambda x: (x + x) * (x - 0.5) - (x / (x + 1.0)),
        "op_negative": lambda x: -x + abs(x - 0.5),
        "op_power": lambda x: x**2 + tf.sqrt(x) + tf.math.rsqrt(x + 1.0) + tf.square(x) + tf.pow(x, 3.0),
        "op_exp_log": lambda x: tf.exp(x) + tf.math.log(x + 1.0),
        "op_constants": lambda x: (x - tf.constant([0.485, 0.456, 0.406])) / tf.constant([0.229, 0.224, 0.225]),
        "op_numpy": lambda x: (x - np.array([0.485, 0.456, 0.406], np.float32)) / [0.229, 0.224, 0.225],
        "op_caffe": lambda x: keras.applications.vgg16.preprocess_input(x * 255.0) / 100.0,
        "op_torch": lambda x: keras.applications.densenet.preprocess_input(x * 255.0),
        "op_tf": lambda x: keras.applications.mobilenet_v2.preprocess_input(x * 255.0),
        "op_nn": lambda x: (
            tf.nn.relu(x - 0.5) + tf.nn.relu6(x * 9) + tf.nn.sigmoid(x) + tf.nn.tanh(x) + tf.nn.softmax(x)
        ),
        "op_nn_more": lambda x: (
            tf.nn.swish(x) + tf.nn.silu(x) + tf.nn.gelu(x) + tf.nn.elu(x - 1) + tf.nn.selu(x - 1) + tf.nn.softplus(x)
            + tf.nn.softsign(x) + tf.nn.leaky_relu(x - 0.5) + tf.nn.leaky_relu(x - 0.5, alpha=0.3)
            + tf.nn.log_softmax(x)
        ),
        "op_keras_activations": lambda x: (
            keras.activations.relu(x - 0.5) + keras.activations.swish(x) + keras.activations.hard_sigmoid(x)
            + keras.activations.softmax(x) + keras.activations.gelu(x) + keras.activations.tanh(x)
        ),
        "op_hard_swish": lambda x: x * tf.nn.relu6(x + 3.0) / 6.0,
        "op_reduce": lambda x: tf.concat(
            [tf.reduce_mean(x, axis=[1, 2]), tf.reduce_max(x, axis=(1, 2)), tf.reduce_min(x, [1, 2]),
             tf.reduce_sum(x, axis=[1, 2])], axis=-1),
        "op_reduce_keepdims": lambda x: x - tf.reduce_mean(x, axis=-1, keepdims=True),
        "op_statistics": lambda x: tf.math.reduce_std(x, axis=1) + tf.math.reduce_variance(x, axis=2),
        "op_backend": lambda x: backend.mean(x, axis=[1, 2]) + backend.max(x, axis=[1, 2]) * backend.clip(
            backend.sum(x, axis=[1, 2]), 0, 1),
        "op_clip": lambda x: tf.clip_by_value(x, 0.2, 0.8) + tf.maximum(x, 0.5) + tf.minimum(x, 0.5),
        "op_shapes": lambda x: tf.transpose(tf.reshape(x, [-1, SIDE, SIDE * CHANNELS]), perm=[0, 2, 1]),
        "op_dims": lambda x: tf.squeeze(tf.expand_dims(x, 1), axis=1),
        "op_concat_stack": lambda x: tf.stack([x, tf.concat([x, x], -1)[..., :CHANNELS] * 2], axis=1),
        "op_slices": lambda x: tf.concat([x[..., ::-1], x[:, ::-1, :, :], x[:, :, :, :1], x[..., 1:2]], axis=-1),
        "op_slice_one": lambda x: x[..., 0] + x[:, :, :, -1],
        "op_new_axis": lambda x: x[:, 2:-2, 3:9, tf.newaxis, :],
        "op_split": lambda x: sum((i + 1.0) * part for i, part in enumerate(tf.split(x, 3, axis=-1))),
        "op_unstack": lambda x: sum((i + 1.0) * part for i, part in enumerate(tf.unstack(x, axis=-1))),
        "op_resize": lambda x: tf.image.resize(x, (17, 20)) + tf.image.resize(x, [17, 20], method="nearest"),
        "op_grey": lambda x: tf.image.grayscale_to_rgb(tf.image.rgb_to_grayscale(x)),
        "op_standardized": lambda x: tf.image.per_image_standardization(x),
        "op_flip": lambda x: tf.image.flip_left_right(x),
        "op_cast": lambda x: tf.cast(x, tf.float32) * 2.0,
        "op_bias_add": lambda x: tf.nn.bias_add(x, tf.constant([1.0, 2.0, 3.0])),
        "op_matmul": lambda x: tf.matmul(x, x, transpose_b=True),
        "op_normalize": lambda x: tf.math.l2_normalize(x, axis=-1) + tf.nn.l2_normalize(x, 1),
        "op_pad": lambda x: tf.pad(x, [[0, 0], [1, 2], [3, 0], [0, 0]]),
        "op_repeat": lambda x: tf.repeat(x, 2, axis=1) + tf.tile(x, [1, 2, 1, 1]),
        "op_pool": lambda x: tf.nn.max_pool2d(x, 2, 2, "SAME") + tf.nn.avg_pool2d(x, 2, 2, "VALID"),
        "op_add_n": lambda x: tf.add_n([x, x, x * 2]) + tf.math.squared_difference(x, 1.0),
        "op_space": lambda x: tf.nn.space_to_depth(x, 2),
        "op_identity": lambda x: tf.identity(x),
        # Read as a refusal.
        "op_unknown": lambda x: tf.math.erf(x),
        "op_random": lambda x: tf.nn.dropout(x, 0.5),
        "op_shape": lambda x: tf.reshape(x, [tf.shape(x)[0], SIDE * SIDE * CHANNELS]),
    }  # fmt: skip


def model_cases(keras):
    """Name -> function that returns a whole model."""
    L = keras.layers

    def images(**options):
        return keras.Input((SIDE, SIDE, CHANNELS), **options)

    def block(name):
        return keras.Sequential(
            [L.Conv2D(4, 3, padding="same", name=f"{name}_conv"), L.BatchNormalization(name=f"{name}_norm"), L.ReLU()],
            name=name,
        )

    def functional(x):
        y = L.Conv2D(4, 3, padding="same")(x)
        return keras.Model(x, L.Add()([L.BatchNormalization()(y), y]), name="inner")

    def head(x):
        return L.Dense(K)(L.GlobalAveragePooling2D()(x))

    def sequential():
        return keras.Sequential([L.InputLayer((SIDE, SIDE, CHANNELS)), L.Conv2D(8, 3), L.Flatten(), L.Dense(K)])

    def sequential_hidden():
        return keras.Sequential([L.Conv2D(8, 3, input_shape=(SIDE, SIDE, CHANNELS)), L.Flatten(), L.Dense(K)])

    def sequential_deferred():
        model = keras.Sequential([L.Conv2D(8, 3), L.Flatten(), L.Dense(K)])
        model.build((None, SIDE, SIDE, CHANNELS))
        return model

    def sequential_nested():
        inner = keras.Sequential([block("a"), block("b")], name="body")
        return keras.Sequential([images(), inner, L.GlobalAveragePooling2D(), L.Dense(K)])

    def nested_augmentation():
        augment = keras.Sequential(
            [L.RandomFlip("horizontal"), L.RandomRotation(0.1), L.RandomZoom(0.1)], name="augment"
        )
        x = images()
        return keras.Model(x, head(block("a")(augment(x))))

    def nested_functional():
        x = images()
        inner = functional(images())
        return keras.Model(x, head(inner(x / 2.0 - 0.5, training=False)))

    def nested_frozen():
        x = images()
        inner = functional(images())
        inner.trainable = False
        return keras.Model(x, head(inner(x)))

    def nested_norm_frozen():
        x = images()
        inner = keras.Sequential([images(), block("a"), block("b")], name="inner")
        for layer in inner.layers:
            layer.layers[1].trainable = False
        return keras.Model(x, head(inner(x)))

    def nested_deep():
        x = images()
        inner = images()
        middle = keras.Model(inner, L.Concatenate()([block("a")(inner), functional(images())(inner)]), name="middle")
        return keras.Model(x, head(middle(x)))

    def nested_twice():
        x = images()
        inner = functional(images())
        return keras.Model(x, head(L.Concatenate()([inner(x), inner(x * 2.0), L.ReLU()(inner(x - 0.5))])))

    def nested_two_outputs():
        x, y = images(), images()
        conv = L.Conv2D(4, 3)(y)
        inner = keras.Model(y, [conv, L.ReLU()(conv)], name="two")
        first, second = inner(x)
        return keras.Model(x, head(L.Subtract()([second, first])))

    def shared_layer():
        x = images()
        conv = L.Conv2D(CHANNELS, 3, padding="same")
        return keras.Model(x, head(L.Add()([conv(conv(x)), x])))

    def shared_norm():
        x = images()
        norm = L.BatchNormalization()
        return keras.Model(x, head(norm(norm(x) * 2.0)))

    def frozen_norm():
        model = keras.Sequential([images(), L.Conv2D(4, 3), L.BatchNormalization(), L.Flatten(), L.Dense(K)])
        model.layers[1].trainable = False
        return model

    def compiled():
        model = sequential()
        model.compile("adam", "mse", metrics=["accuracy"])
        model.train_on_batch(x_images, np.zeros((3, K)))
        return model

    def names_with_slashes():
        layers = [L.Conv2D(4, 3, name="block1/conv"), L.Flatten(), L.Dense(K, name="head/dense")]
        return keras.Sequential([images(), *layers])

    def time_distributed_model():
        x = images()
        frames = L.Reshape((2, SIDE // 2, SIDE, CHANNELS))(x)
        inner = keras.Sequential([L.InputLayer((SIDE // 2, SIDE, CHANNELS)), block("a"), L.GlobalMaxPooling2D()])
        return keras.Model(x, L.Dense(K)(L.LSTM(3)(L.TimeDistributed(inner)(frames))))

    def mixed_precision():
        keras.mixed_precision.set_global_policy("mixed_float16")
        try:
            model = keras.Sequential([images(), L.Conv2D(8, 3), L.Flatten(), L.Dense(K, dtype="float32")])
        finally:
            keras.mixed_precision.set_global_policy("float32")
        return model

    def mobilenet():
        base = keras.applications.MobileNetV2((32, 32, 3), alpha=0.1, include_top=False, weights=None)
        base.trainable = False
        x = images()
        y = keras.applications.mobilenet_v2.preprocess_input(L.Resizing(32, 32)(x) * 255.0)
        return keras.Model(x, head(base(y, training=False)))

    def efficientnet():
        source = sys.modules[keras.applications.EfficientNetB0.__module__]
        base = source.EfficientNet(0.2, 0.2, 32, include_top=False, weights=None, input_shape=(32, 32, 3))
        return keras.Sequential(
            [images(), L.Rescaling(255.0), L.Resizing(32, 32), base, L.GlobalAveragePooling2D(), L.Dense(K)]
        )

    return {
        function.__name__: function
        for function in (
            sequential,
            sequential_hidden,
            sequential_deferred,
            sequential_nested,
            nested_augmentation,
            nested_functional,
            nested_frozen,
            nested_norm_frozen,
            nested_deep,
            nested_twice,
            nested_two_outputs,
            shared_layer,
            shared_norm,
            frozen_norm,
            compiled,
            names_with_slashes,
            time_distributed_model,
            mixed_precision,
            mobilenet,
            efficientnet,
        )
    }


def adapted(layer, method):
    """A Normalization with statistics of the images."""
    getattr(layer, method)(x_images)
    return layer
