"""Networks as pure functions of (weights, images); weights are one flat vector.

One vector for all weights makes the inner optimizer, the mean over tasks, the outer
step, a checkpoint and an all-reduce one operation each. `ConvNet.shapes` names its parts.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

BATCH_NORM_EPSILON = 1e-3
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


def logits(
    net: ConvNet, parts: list[tf.Tensor], images: tf.Tensor, compute: tf.DType | None = None
) -> tf.Tensor:
    """Class scores [images, way] of float images [images, height, width, channels].

    Batch norm always uses the statistics of these images, in training and evaluation alike:
    there are no moving averages, so what is in the batch matters.

    Args:
      compute: the type of activations and convolutions (bfloat16, say). Weights, batch
        statistics, the dense layer and the scores keep the type of `parts`.
    """
    compute = compute or images.dtype
    x = tf.cast(images, compute)
    for block in range(net.blocks):
        kernel, gamma, beta = parts[3 * block : 3 * block + 3]
        kernel = tf.cast(kernel, compute)
        x = tf.nn.conv2d(x, kernel, strides=1 if net.pooling else 2, padding="SAME")
        x = _batch_norm(x, gamma, beta)
        if net.pooling:
            x = tf.nn.max_pool2d(x, ksize=2, strides=2, padding="SAME")
        x = tf.nn.relu(x)
    kernel, bias = parts[-2:]
    return tf.cast(tf.reshape(x, [-1, kernel.shape[0]]), kernel.dtype) @ kernel + bias


def _batch_norm(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
    if x.dtype != tf.float64:  # the fused kernel takes half the time, but does not know float64
        return tf.compat.v1.nn.fused_batch_norm(
            x, gamma, beta, epsilon=BATCH_NORM_EPSILON, is_training=True
        )[0]
    mean, variance = tf.nn.moments(x, axes=[0, 1, 2])
    return tf.nn.batch_normalization(x, mean, variance, beta, gamma, BATCH_NORM_EPSILON)
