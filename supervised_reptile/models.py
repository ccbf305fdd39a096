"""Networks as pure functions of (weights, images); weights are one flat vector.

One vector for all weights makes a checkpoint, an export and an all-reduce one operation each.
`ConvNet.shapes` names its parts; `split` makes of it what inner steps work on.
"""

from __future__ import annotations

import itertools
import math
from functools import partial
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from supervised_reptile.layers import (
    batch_norm,
    first_block,
    image_patches,
    strided_convolution,
)
from supervised_reptile.weights import Grouping, Weights

LARGE = 2**14  # weights of a kernel from which it is a group of its own
_INITIAL_WEIGHTS = 0x1717  # separates these random numbers from the tasks' streams


class ConvNet(NamedTuple):
    """Four blocks of 3x3 convolution and batch normalisation, then one dense layer.

    Omniglot (`pooling` False): convolution with stride 2, batch norm, ReLU; 64 filters.
    Mini-ImageNet (`pooling` True): convolution, batch norm, 2x2 max-pool, ReLU; 32 filters.
    The convolutions have no bias: batch norm subtracts it again.
    """

    image_shape: tuple[int, int, int]  # (height, width, channels)
    way: int
    filters: int
    pooling: bool
    blocks: int = 4

    @property
    def shapes(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Name and shape of every weight, in their order in the flat vector."""
        parts: list[tuple[str, tuple[int, ...]]] = []
        height, width, channels = self.image_shape
        for block in range(self.blocks):
            parts += [
                (f"block{block}/kernel", (3, 3, channels, self.filters)),
                (f"block{block}/gamma", (self.filters,)),
                (f"block{block}/beta", (self.filters,)),
            ]
            channels = self.filters
            height, width = -(-height // 2), -(-width // 2)
        parts += [
            ("dense/kernel", (height * width * channels, self.way)),
            ("dense/bias", (self.way,)),
        ]
        return tuple(parts)

    @property
    def size(self) -> int:
        """Number of weights."""
        return sum(math.prod(shape) for _, shape in self.shapes)


def omniglot_net(image_shape: tuple[int, int, int], way: int) -> ConvNet:
    """The paper's Omniglot classifier."""
    return ConvNet(image_shape, way, filters=64, pooling=False)


def miniimagenet_net(image_shape: tuple[int, int, int], way: int) -> ConvNet:
    """The paper's Mini-ImageNet classifier."""
    return ConvNet(image_shape, way, filters=32, pooling=True)


def own_images_net(image_shape: tuple[int, int, int], way: int) -> ConvNet:
    """The Omniglot classifier for small images, Mini-ImageNet's for larger ones."""
    small = max(image_shape[:2]) <= 32
    return (omniglot_net if small else miniimagenet_net)(image_shape, way)


def initial_weights(net: ConvNet, seed: int) -> np.ndarray:
    """Float32 [net.size]: Glorot uniform kernels, gamma 1, all biases 0."""
    words = np.random.Philox(key=np.array([seed, _INITIAL_WEIGHTS], np.uint64))
    parts = []
    for name, shape in net.shapes:
        if name.endswith("kernel"):
            receptive = math.prod(shape[:-2])
            limit = math.sqrt(6 / (receptive * (shape[-2] + shape[-1])))
            uniform = (words.random_raw(math.prod(shape)) >> np.uint64(11)) * 2.0**-53
            parts.append(limit * (2 * uniform - 1))
        else:
            parts.append(np.full(shape, 1.0 if name.endswith("gamma") else 0.0))
    return np.concatenate([part.ravel() for part in parts]).astype(np.float32)


def unflatten(net: ConvNet, flat: tf.Tensor) -> list[tf.Tensor]:
    """The flat vector [net.size] as the tensors of `net.shapes`."""
    sizes = [math.prod(shape) for _, shape in net.shapes]
    pieces = tf.split(flat, sizes)
    return [tf.reshape(piece, shape) for piece, (_, shape) in zip(pieces, net.shapes, strict=True)]


def flatten(parts: list[tf.Tensor]) -> tf.Tensor:
    """The inverse of `unflatten`."""
    return tf.concat([tf.reshape(part, [-1]) for part in parts], axis=0)


def split(net: ConvNet, flat: tf.Tensor) -> Weights:
    """The flat vector in a few: all small weights in one, then each large kernel by itself.

    What inner steps work on. An operation costs some microseconds whatever its size, so the many
    small weights stay together; a vector that fits a core's cache is updated faster than one of
    everything, which would also be cut and joined again at every step.
    """
    pieces = tf.split(flat, [math.prod(shape) for _, shape in net.shapes])
    large = _large(net)
    small = [piece for piece, alone in zip(pieces, large, strict=True) if not alone]
    return tf.concat(small, axis=0), *itertools.compress(pieces, large)


def unpack(net: ConvNet, weights: Weights) -> list[tf.Tensor]:
    """The tensors of `net.shapes` in what `split` returns."""
    large, shapes = _large(net), [shape for _, shape in net.shapes]
    sizes = [math.prod(s) for s, alone in zip(shapes, large, strict=True) if not alone]
    small, kernels = iter(tf.split(weights[0], sizes)), iter(weights[1:])
    return [
        tf.reshape(next(kernels if alone else small), shape)
        for shape, alone in zip(shapes, large, strict=True)
    ]


def grouping(net: ConvNet) -> Grouping:
    """How inner steps see the flat vector: see `split`."""
    return Grouping(partial(split, net), lambda weights: flatten(unpack(net, weights)))


def _large(net: ConvNet) -> list[bool]:
    return [math.prod(shape) >= LARGE for _, shape in net.shapes]


def encode(net: ConvNet, images: np.ndarray) -> np.ndarray:
    """What `logits` reads of images [n, height, width, channels], the same type, made once.

    The networks with stride 2 read patches, [n, positions, 9 * channels + 1]; Mini-ImageNet's
    reads the images.
    """
    return images if net.pooling else image_patches(images, 2)


class Reading(NamedTuple):
    """How a network reads images."""

    one: int = 1  # the pixel value that stands for 1.0
    compute: tf.DType | None = None  # type of activations and convolutions; None: the weights'


FLOATS = Reading()  # images from 0 to 1 in the type of the weights


def logits(
    net: ConvNet, parts: list[tf.Tensor], encoded: tf.Tensor, reading: Reading = FLOATS
) -> tf.Tensor:
    """Class scores [n, way] of `encode`d images as floats.

    Batch norm always uses the statistics of these images, in training and evaluation alike:
    there are no moving averages, so what is in the batch matters. Weights, batch statistics, the
    dense layer and the scores keep the type of `parts`, whatever `reading.compute` is.
    """
    forward = _pooling_blocks if net.pooling else _strided_blocks
    # The first kernel takes the scale of the pixels: cheaper than scaling every image.
    parts = [parts[0] * (1 / reading.one), *parts[1:]]
    x = forward(net, parts, encoded, reading.compute or encoded.dtype)
    kernel, bias = parts[-2:]
    return tf.cast(tf.reshape(x, [-1, kernel.shape[0]]), kernel.dtype) @ kernel + bias


def _pooling_blocks(
    net: ConvNet, parts: list[tf.Tensor], images: tf.Tensor, compute: tf.DType
) -> tf.Tensor:
    x = tf.cast(images, compute)
    for block in range(net.blocks):
        kernel, gamma, beta = parts[3 * block : 3 * block + 3]
        x = tf.nn.conv2d(x, tf.cast(kernel, compute), strides=1, padding="SAME")
        x = batch_norm(x, gamma, beta)
        x = tf.nn.relu(tf.nn.max_pool2d(x, ksize=2, strides=2, padding="SAME"))
    return x


def _strided_blocks(
    net: ConvNet, parts: list[tf.Tensor], patches: tf.Tensor, compute: tf.DType
) -> tf.Tensor:
    x = first_block(patches, tuple(parts[:3]), compute)
    height, width = (-(-size // 2) for size in net.image_shape[:2])
    x = tf.reshape(x, [-1, height, width, net.filters])
    for block in range(1, net.blocks):
        kernel, gamma, beta = parts[3 * block : 3 * block + 3]
        x = strided_convolution(x, tf.cast(kernel, compute))
        x = tf.nn.relu(batch_norm(x, gamma, beta))
    return x
