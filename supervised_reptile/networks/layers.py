"""The networks' layers, in the forms that were measured to be fast (docs/performance.md).

A 3x3 convolution is a matrix product once every output position's nine inputs, its patch, lie
in a row. oneDNN's convolutions are faster where images are large; for small ones, and for the
filter gradient of small ones in bfloat16, the product wins by far. Products and elementwise
operations alone ("products" below) can moreover be stacked over tasks: the form for accelerators.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf

from supervised_reptile.networks.shapes import size

BATCH_NORM_EPSILON = 1e-3
TAPS = 9  # of a 3x3 kernel
# Output positions up to which float32 convolutions run as matrix products of patches.
FEW_POSITIONS = 16


@lru_cache(maxsize=64)
def patch_pixels(height: int, width: int, stride: int) -> np.ndarray:
    """Which pixels a 3x3 kernel sees at each output position, padding SAME.

    Returns int32 [positions, 9]: row-major pixel numbers; height * width stands for the zeros
    around the image.
    """

    def lines(size: int) -> np.ndarray:  # [positions, 3], size where it is outside
        count = -(-size // stride)
        before = max((count - 1) * stride + 3 - size, 0) // 2
        seen = np.arange(count)[:, None] * stride + np.arange(3) - before
        return np.where((seen >= 0) & (seen < size), seen, size)

    y, x = lines(height)[:, None, :, None], lines(width)[None, :, None, :]
    pixels = np.where((y < height) & (x < width), y * width + x, height * width)
    return pixels.reshape(-1, TAPS).astype(np.int32)


@lru_cache(maxsize=64)
def patch_rows(images: int, height: int, width: int, stride: int) -> np.ndarray:
    """`patch_pixels` of several images under one another: int32 [images * positions, 9].

    images * height * width, one past the last pixel, stands for zeros.
    """
    pixels, size = patch_pixels(height, width, stride), height * width
    rows = pixels + np.arange(images, dtype=np.int32)[:, None, None] * size
    return np.where(pixels == size, images * size, rows).reshape(-1, TAPS).astype(np.int32)


def image_patches(images: np.ndarray, stride: int) -> np.ndarray:
    """Patches of whole images, and after each the constant 1, which the bias multiplies.

    From [n, height, width, channels] to [n, positions, 9 * channels + 1] of the same type.
    """
    count, height, width, channels = images.shape
    pixels = patch_pixels(height, width, stride)
    flat = np.zeros((count, height * width + 1, channels), images.dtype)
    flat[:, :-1] = images.reshape(count, height * width, channels)
    patches = np.ones((count, len(pixels), TAPS * channels + 1), images.dtype)
    patches[:, :, :-1] = flat[:, pixels].reshape(count, len(pixels), TAPS * channels)
    return patches


def in_graph_patches(images: tf.Tensor, stride: int) -> tf.Tensor:
    """`image_patches` as an operation of a graph: of float images, any number of them."""
    window, strides = [1, 3, 3, 1], [1, stride, stride, 1]
    patches = tf.image.extract_patches(images, window, strides, [1, 1, 1, 1], "SAME")
    positions = patches.shape[1] * patches.shape[2]
    rows = tf.reshape(patches, [-1, positions, patches.shape[3]])
    return tf.concat([rows, tf.ones_like(rows[:, :, :1])], axis=2)


def fold_batch_norm(
    kernel: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, moments: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """A convolution's batch norm as part of its kernel and of a bias.

    A convolution is linear in its patches, so mean and variance of its outputs follow from the
    patches' first and second moments; batch_norm(patch @ kernel) = patch @ scaled + shift.
    Nothing of the size of the outputs is read for it.

    Args:
      kernel: [3, 3, channels, filters], K = 9 * channels; gamma, beta: [filters].
      moments: [K + 1, K + 1], means over patches of their outer products, with a 1 after each.

    Returns:
      scaled [K, filters] and shift [filters].
    """
    inputs = size(moments) - 1
    kernel = tf.reshape(kernel, [inputs, -1])
    mean_patch = moments[:inputs, inputs:]  # [K, 1]
    covariance = moments[:inputs, :inputs] - mean_patch * tf.transpose(mean_patch)
    mean = tf.reduce_sum(mean_patch * kernel, axis=0)
    variance = tf.reduce_sum(kernel * (covariance @ kernel), axis=0)
    scale = gamma * tf.math.rsqrt(variance + BATCH_NORM_EPSILON)
    return kernel * scale, beta - mean * scale


def block_of_patches(
    patches: tf.Tensor, weights: Sequence[tf.Tensor], compute: tf.DType
) -> tf.Tensor:
    """Convolution, batch norm and ReLU of images that are given as `image_patches`.

    From [n, positions, K + 1], kernel, gamma and beta to [n, positions, filters] of the type
    `compute`.
    """
    positions, inputs = patches.shape[1:]
    rows = tf.reshape(patches, [-1, inputs])
    moments = tf.matmul(rows, rows, transpose_a=True) / tf.cast(tf.shape(rows)[0], rows.dtype)
    kernel, gamma, beta = weights
    scaled, shift = fold_batch_norm(kernel, gamma, beta, moments)
    affine = tf.cast(tf.concat([scaled, shift[None]], axis=0), compute)
    outputs = tf.nn.relu(tf.cast(rows, compute) @ affine)
    return tf.reshape(outputs, [-1, positions, outputs.shape[-1]])


def convolution(images: tf.Tensor, kernel: tf.Tensor, stride: int, products: bool) -> tf.Tensor:
    """A 3x3 convolution, padding SAME, in the fastest form (on a CPU, unless `products`).

    From [n, height, width, channels] and [3, 3, channels, filters] of the same type to
    [n, height / stride, width / stride, filters], rounded up. Where n is not known when a graph
    is built, oneDNN's form it is: the others take n for a fact.
    """
    if images.shape[0] is None:
        return tf.nn.conv2d(images, kernel, strides=stride, padding="SAME")
    positions = math.prod(-(-side // stride) for side in (size(images, 1), size(images, 2)))
    few = positions <= FEW_POSITIONS or images.dtype == tf.bfloat16
    if products:
        return _by_patches(images, kernel, stride)[0]
    if stride == 2 and few:
        return _by_patches_both_ways(images, kernel)
    return tf.nn.conv2d(images, kernel, strides=stride, padding="SAME")


def _by_patches(images: tf.Tensor, kernel: tf.Tensor, stride: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The convolution as a matrix product, and the patches [n * positions, 9 * channels]."""
    count, height, width, channels = (size(images, axis) for axis in range(4))
    rows = tf.pad(tf.reshape(images, [-1, channels]), [[0, 1], [0, 0]])
    patches = tf.gather(rows, patch_rows(count, height, width, stride))
    patches = tf.reshape(patches, [-1, TAPS * channels])
    outputs = patches @ tf.reshape(kernel, [-1, kernel.shape[-1]])
    shape = [count, -(-height // stride), -(-width // stride), kernel.shape[-1]]
    return tf.reshape(outputs, shape), patches


@tf.custom_gradient
def _by_patches_both_ways(images: tf.Tensor, kernel: tf.Tensor) -> Any:  # outputs, decorated
    """Stride 2, the gradient by the kernel as a product too; by the images with oneDNN.

    Adding patches up again, as TensorFlow's own gradient would, is slow on a CPU.
    """
    outputs, patches = _by_patches(images, kernel, stride=2)

    def gradient(upstream: tf.Tensor):
        columns = tf.reshape(upstream, [-1, kernel.shape[-1]])
        for_kernel = tf.matmul(patches, columns, transpose_a=True)
        for_images = tf.raw_ops.Conv2DBackpropInput(
            input_sizes=images.shape,
            filter=kernel,
            out_backprop=upstream,
            strides=[1, 2, 2, 1],
            padding="SAME",
        )
        return for_images, tf.reshape(for_kernel, kernel.shape)

    return outputs, gradient


def batch_norm(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, products: bool) -> tf.Tensor:
    """Batch norm with the statistics of `x`, [n, height, width, channels]."""
    if x.dtype != tf.float64 and not products:  # half the time, but does not know float64
        return tf.compat.v1.nn.fused_batch_norm(
            x, gamma, beta, epsilon=BATCH_NORM_EPSILON, is_training=True
        )[0]
    exact = tf.cast(x, gamma.dtype)
    # Not tf.nn.moments, whose variance has a wrong second derivative: it holds the mean constant.
    mean = tf.reduce_mean(exact, axis=[0, 1, 2])
    variance = tf.math.reduce_variance(exact, axis=[0, 1, 2])
    result = tf.nn.batch_normalization(exact, mean, variance, beta, gamma, BATCH_NORM_EPSILON)
    return tf.cast(result, x.dtype)
