"""Second moments of images' patches, which give a first batch norm its statistics for nothing.

They depend on the image alone, so they are computed once for each and remembered: at 84x84 that
takes a quarter of the time of training on the image once.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from supervised_reptile.compiled import AnyLength
from supervised_reptile.layers import TAPS

REMEMBERED_BYTES = 256 * 2**20
IMAGES_AT_ONCE = 32
MIDDLE = 128.0
EXACT_TERMS = 1024
_BORDER = [[0, 0], [1, 1], [1, 1], [0, 0]]


class Moments:
    """`_patch_moments` of a data set's images, each computed when it is first asked for.

    Of sets too large to remember the most recent ones are remembered.
    """

    def __init__(self, images: int, channels: int) -> None:
        """For so many images."""
        size = TAPS * channels + 1
        self._slots = max(1, min(images, REMEMBERED_BYTES // (4 * size**2)))
        self._values = np.zeros((self._slots, size, size), np.float32)
        self._owners = np.full(self._slots, -1, np.int64)

    def __call__(self, images: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Float32 [n, K + 1, K + 1] of uint8 images [n, ...], which are the set's `rows`, int."""
        slots = rows % self._slots
        result = self._values[slots]
        new = np.flatnonzero(self._owners[slots] != rows)
        for start in range(0, len(new), IMAGES_AT_ONCE):
            some = new[start : start + IMAGES_AT_ONCE]
            result[some] = patch_moments(tf.constant(images[some]))
        self._values[slots[new]] = result[new]
        self._owners[slots[new]] = rows[new]
        return result


def _patch_moments(images: tf.Tensor) -> tf.Tensor:
    """Sums of outer products of 3x3 patches (stride 1, padding SAME), with a 1 after each.

    From uint8 [n, height, width, channels] to float32 [n, K + 1, K + 1], K = 9 * channels. Exact
    but for the last rounding, and so the same whichever images come together: resuming needs it.
    """
    count, channels = tf.shape(images)[0], images.shape[-1]
    inputs = TAPS * channels
    # Every output channel copies one input of the patch. With the middle of the bytes as 0 a
    # product is at most 2^14, and a sum of 2^10 of them is exact in float32.
    copies = tf.reshape(tf.eye(inputs), [3, 3, channels, inputs])
    centred = tf.pad(tf.cast(images, tf.float32) - MIDDLE, _BORDER, constant_values=-MIDDLE)
    patches = tf.nn.conv2d(centred, copies, strides=1, padding="VALID")
    rows = tf.reshape(patches, [count, -1, inputs])
    rows = tf.pad(rows, [[0, 0], [0, 0], [0, 1]], constant_values=1.0)
    rows = tf.pad(rows, [[0, 0], [0, -tf.shape(rows)[1] % EXACT_TERMS], [0, 0]])
    rows = tf.reshape(rows, [count, -1, EXACT_TERMS, inputs + 1])
    sums = tf.reduce_sum(tf.cast(tf.matmul(rows, rows, transpose_a=True), tf.float64), axis=1)
    # Back to 0 as 0: with x = [patch, 1] and shift S, sum (S x)(S x)' = S (sum x x') S'.
    shift = tf.constant(_shift(inputs))
    return tf.cast(shift @ sums @ tf.transpose(shift), tf.float32)


def _shift(inputs: int) -> np.ndarray:
    """Float64 [inputs + 1, inputs + 1]: adds MIDDLE times the last element to all others."""
    shift = np.eye(inputs + 1)
    shift[:-1, -1] = MIDDLE
    return shift


patch_moments = AnyLength(_patch_moments)
