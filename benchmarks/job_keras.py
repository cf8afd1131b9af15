"""The networks of the main job as models of keras."""

from functools import partial
from typing import Any

import keras
from keras import layers

from benchmarks.job import DROPOUT, L2, Job


def keras_network(job: Job, shape: tuple[int, ...]) -> Any:
    """The network of the job, of inputs of that shape."""
    if job.network == "PreActResNet":
        return _residual_network(job, shape)
    dense: dict[str, Any] = {"kernel_regularizer": keras.regularizers.L2(L2 / 2)}
    if job.network == "CNN":
        return _convolutional_network(job, shape, dense)
    if job.network == "DeepMLP":
        dense["kernel_initializer"] = "he_normal"
    blocks = job.depth // 2 - 1 if job.network == "DeepMLP" else 0
    inputs = x = keras.Input(shape)
    x = layers.Dense(job.width, **dense)(x)
    for _ in range(blocks):
        y = layers.ReLU()(layers.BatchNormalization()(x))
        y = layers.ReLU()(layers.BatchNormalization()(layers.Dense(job.width, **dense)(y)))
        x = layers.Add()([x, layers.Dense(job.width, **dense)(layers.Dropout(DROPOUT)(y))])
    if not blocks:
        x = layers.Dropout(DROPOUT)(layers.ReLU()(layers.BatchNormalization()(x)))
        x = layers.Dense(job.width, **dense)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = x if blocks else layers.Dropout(DROPOUT)(x)
    return keras.Model(inputs, layers.Dense(10)(x))


def _convolutional_network(job: Job, shape: tuple[int, ...], penalty: dict[str, Any]) -> Any:
    """Two convolutions and two dense layers."""
    inputs = x = keras.Input(shape)
    for factor in (1, 2):
        x = layers.Conv2D(factor * job.width, 3, padding="same", **penalty)(x)
        x = layers.MaxPooling2D()(layers.ReLU()(layers.BatchNormalization()(x)))
    x = layers.Dense(64, activation="relu", **penalty)(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(10, **penalty)(layers.Dropout(DROPOUT)(x)))


def _residual_network(job: Job, shape: tuple[int, ...]) -> Any:
    """A stem and three stages of pre-activated convolutions."""
    penalty: dict[str, Any] = {"kernel_regularizer": keras.regularizers.L2(L2 / 2)}
    conv = partial(
        layers.Conv2D, padding="same", use_bias=False, kernel_initializer="he_normal", **penalty
    )
    inputs = x = keras.Input(shape)
    x = conv(job.width, 3)(x)
    for stage in range(3):
        width = job.width * 2**stage
        for place in range((job.depth - 2) // 6):
            stride = 2 if stage > 0 and place == 0 else 1
            y = layers.ReLU()(layers.BatchNormalization()(x))
            y = layers.ReLU()(layers.BatchNormalization()(conv(width, 3, strides=stride)(y)))
            past = x if stride == 1 else conv(width, 1, strides=stride)(x)
            x = layers.Add()([past, conv(width, 3)(y)])
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10, **penalty)(x))
