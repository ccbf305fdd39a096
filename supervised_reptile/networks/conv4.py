"""Conv4, the paper's classifier, as a function of (weights, images).

`conv4` is the network as the paper has it. Runs use `logits`, below, which computes the same
several times as fast; a test holds the two together. All weights lie in one flat
vector, so that a checkpoint, an export and an all-reduce are one operation each.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from supervised_reptile.networks.layers import (
    BATCH_NORM_EPSILON,
    batch_norm,
    block_of_patches,
    convolution,
    fold_batch_norm,
    image_patches,
)
from supervised_reptile.networks.patch_moments import Moments
from supervised_reptile.networks.weights import Grouping, Weights

LARGE = 2**14  # weights of a kernel from which it is a group of its own
_INITIAL_WEIGHTS = 0x1717  # separates these random numbers from the tasks' streams

# (images, their numbers) -> what a network reads of them
Encode = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, ...]]


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


def conv4(net: ConvNet, parts: Sequence[tf.Tensor], images: tf.Tensor) -> tf.Tensor:
    """Class scores [n, way] of images [n, height, width, channels], 0 ... 1.

    Batch norm always uses the statistics of these images, in training and evaluation alike:
    there are no moving averages, so what is in the batch matters.

    Args:
      parts: the tensors of `net.shapes`.
    """
    blocks, (dense_kernel, dense_bias) = by_block(parts)
    x = images
    for kernel, gamma, beta in blocks:
        x = tf.nn.conv2d(x, kernel, strides=1 if net.pooling else 2, padding="SAME")
        mean, variance = tf.nn.moments(x, axes=[0, 1, 2])
        x = tf.nn.batch_normalization(x, mean, variance, beta, gamma, BATCH_NORM_EPSILON)
        if net.pooling:
            x = tf.nn.max_pool2d(x, ksize=2, strides=2, padding="SAME")
        x = tf.nn.relu(x)
    return tf.reshape(x, [-1, dense_kernel.shape[0]]) @ dense_kernel + dense_bias


def by_block(
    parts: Sequence[tf.Tensor],
) -> tuple[list[Sequence[tf.Tensor]], Sequence[tf.Tensor]]:
    """The tensors of `ConvNet.shapes`: kernel, gamma and beta of each block; those of the end."""
    *of_blocks, dense_kernel, dense_bias = parts
    blocks: list[Sequence[tf.Tensor]] = [
        of_blocks[first : first + 3] for first in range(0, len(of_blocks), 3)
    ]
    return blocks, (dense_kernel, dense_bias)


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
    draw = initial_draws(seed)
    parts = []
    for name, shape in net.shapes:
        if name.endswith("kernel"):
            receptive = math.prod(shape[:-2])
            limit = math.sqrt(6 / (receptive * (shape[-2] + shape[-1])))
            parts.append(limit * draw(shape))
        else:
            parts.append(np.full(shape, 1.0 if name.endswith("gamma") else 0.0))
    return np.concatenate([part.ravel() for part in parts]).astype(np.float32)


def initial_draws(seed: int) -> Callable[[tuple[int, ...]], np.ndarray]:
    """Makes uniform random numbers from -1 to 1, float64 of any shape, one array after another."""
    words = np.random.Philox(key=np.array([seed, _INITIAL_WEIGHTS], np.uint64))

    def draw(shape: tuple[int, ...]) -> np.ndarray:
        return 2 * ((words.random_raw(math.prod(shape)) >> np.uint64(11)) * 2.0**-53) - 1

    return draw


class Net(Protocol):
    """A network whose weights lie one after the other in a flat vector."""

    @property
    def shapes(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Name and shape of every weight, in their order in the flat vector."""
        ...


def unflatten(net: Net, flat: tf.Tensor) -> list[tf.Tensor]:
    """The flat vector [net.size] as the tensors of `net.shapes`."""
    sizes = [math.prod(shape) for _, shape in net.shapes]
    pieces = tf.split(flat, sizes)
    return [tf.reshape(piece, shape) for piece, (_, shape) in zip(pieces, net.shapes, strict=True)]


def flatten(parts: Sequence[tf.Tensor]) -> tf.Tensor:
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


# ---- the fast form


class Reading(NamedTuple):
    """How the fast form reads images and computes with them."""

    one: int = 1  # the pixel value that stands for 1.0
    compute: tf.DType | None = None  # type of activations and convolutions; None: the weights'
    products: bool = False  # nothing but products and elementwise operations: see `layers`


def encoder(net: ConvNet, images: int) -> Encode:
    """Makes what `logits` reads of images, a part that does not depend on the weights.

    Args:
      images: how many the data set has.

    Returns:
      a function of some images, uint8 [n, height, width, channels], and their numbers in the
      data set, int [n]. For the networks with stride 2 it returns the images' patches, uint8
      [n, positions, K + 1], K = 9 * channels; for Mini-ImageNet's the images and, unless there are
      too many, their patches' second moments, float32 [n, K + 1, K + 1].
    """
    channels = net.image_shape[-1]
    if not net.pooling:
        return lambda some, _: (image_patches(some, 2),)
    if not Moments.fit(images, channels):
        return lambda some, _: (some,)
    moments = Moments(images, channels)
    return lambda some, rows: (some, moments(some, rows))


def logits(
    net: ConvNet, parts: Sequence[tf.Tensor], encoded: tuple[tf.Tensor, ...], reading: Reading
) -> tf.Tensor:
    """As `conv4`, of images as `encoder` gives them, as floats.

    Weights, batch statistics, the dense layer and the scores keep the type of `parts`, whatever
    `reading.compute` is.
    """
    blocks, (dense_kernel, dense_bias) = by_block(parts)
    first = _first_pooling_block if net.pooling else _first_strided_block
    x = first(net, blocks[0], encoded, reading)
    for block in blocks[1:]:
        x = _block(net, block, x, reading.products)
    x = tf.cast(tf.reshape(x, [-1, dense_kernel.shape[0]]), dense_kernel.dtype)
    return x @ dense_kernel + dense_bias


def _block(net: ConvNet, block: Sequence[tf.Tensor], x: tf.Tensor, products: bool) -> tf.Tensor:
    kernel, gamma, beta = block
    x = convolution(x, tf.cast(kernel, x.dtype), 1 if net.pooling else 2, products)
    x = batch_norm(x, gamma, beta, products)
    return tf.nn.relu(_pool(x) if net.pooling else x)


def _first_strided_block(
    net: ConvNet, block: Sequence[tf.Tensor], encoded: tuple[tf.Tensor, ...], reading: Reading
) -> tf.Tensor:
    """A product with patches that were made once per image, batch norm folded into the kernel."""
    kernel, gamma, beta = block
    kernel = kernel * (1 / reading.one)  # cheaper than scaling every image
    compute = reading.compute or kernel.dtype
    x = block_of_patches(encoded[0], (kernel, gamma, beta), compute)
    height, width = (-(-size // 2) for size in net.image_shape[:2])
    return tf.reshape(x, [-1, height, width, net.filters])


def _first_pooling_block(
    net: ConvNet, block: Sequence[tf.Tensor], encoded: tuple[tf.Tensor, ...], reading: Reading
) -> tf.Tensor:
    """Batch norm's scale is in the kernel, its shift is added where the largest are left."""
    kernel, gamma, beta = block
    kernel = kernel * (1 / reading.one)
    images, *moments = encoded
    x = tf.cast(images, reading.compute or kernel.dtype)
    if not moments:
        return _block(net, (kernel, gamma, beta), x, reading.products)
    height, width, _ = net.image_shape
    patches = tf.cast(tf.shape(images)[0] * height * width, images.dtype)
    mean = tf.reduce_sum(moments[0], axis=0) / patches
    scaled, shift = fold_batch_norm(kernel, gamma, beta, mean)
    scaled = tf.cast(tf.reshape(scaled, kernel.shape), x.dtype)
    x = convolution(x, scaled, 1, reading.products)
    return tf.nn.relu(tf.nn.bias_add(_pool(x), tf.cast(shift, x.dtype)))


def _pool(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.max_pool2d(x, ksize=2, strides=2, padding="SAME")
