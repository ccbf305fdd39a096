"""Second moments of images' patches, which give a first batch norm its statistics for nothing.

They depend on the image alone, so they are computed once for each and remembered: at 84x84 that
takes a quarter of the time of training on the image once.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from supervised_reptile.networks.layers import TAPS

REMEMBERED_BYTES = 256 * 2**20
IMAGES_AT_ONCE = 8
MIDDLE = 128.0
EXACT_TERMS = 1024
_BORDER = [[0, 0], [1, 1], [1, 1], [0, 0]]


class Moments:
    """`patch_moments` of a data set's images, each computed when it is first asked for."""

    def __init__(self, images: int, channels: int) -> None:
        """For so many images."""
        size = TAPS * channels + 1
        self._values = np.zeros((images, size, size), np.float32)
        self._known = np.zeros(images, bool)

    @staticmethod
    def fit(images: int, channels: int) -> bool:
        """Whether those of so many images are few enough to be remembered.

        To compute them anew at every use costs more than they save.
        """
        return 4 * images * (TAPS * channels + 1) ** 2 <= REMEMBERED_BYTES

    def __call__(self, images: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Float32 [n, K + 1, K + 1] of uint8 images [n, ...], which are the set's `rows`, int."""
        new = np.flatnonzero(~self._known[rows])
        for start in range(0, len(new), IMAGES_AT_ONCE):
            some = new[start : start + IMAGES_AT_ONCE]
            self._values[rows[some]] = patch_moments(images[some])
        self._known[rows] = True
        return self._values[rows]


def patch_moments(images: np.ndarray) -> np.ndarray:
    """Sums of outer products of 3x3 patches (stride 1, padding SAME), with a 1 after each.

    From uint8 [n, height, width, channels] to float32 [n, K + 1, K + 1], K = 9 * channels. Exact
    but for the last rounding, and so the same whichever images come together: resuming needs it.
    Its operations run one by one on the calling thread; in a graph they would queue up behind
    those of the training that goes on meanwhile.
    """
    count, height, width, channels = images.shape
    inputs = TAPS * channels
    # Every output channel copies one input of the patch. With the middle of the bytes as 0 a
    # product is at most 2^14, and a sum of 2^10 of them is exact in float32.
    copies = np.eye(inputs, dtype=np.float32).reshape(3, 3, channels, inputs)
    centred = tf.pad(tf.cast(images, tf.float32) - MIDDLE, _BORDER, constant_values=-MIDDLE)
    patches = tf.nn.conv2d(centred, copies, strides=1, padding="VALID")
    rows = tf.reshape(patches, [count, -1, exact_terms(height, width), inputs])
    sums = np.empty((count, inputs + 1, inputs + 1))
    sums[:, :-1, :-1] = tf.matmul(rows, rows, transpose_a=True).numpy().sum(axis=1, dtype=float)
    totals = tf.reduce_sum(rows, axis=2).numpy().sum(axis=1, dtype=float)
    sums[:, -1, :-1] = sums[:, :-1, -1] = totals
    sums[:, -1, -1] = height * width
    # Back to 0 as 0: with x = [patch, 1] and shift S, sum (S x)(S x)' = S (sum x x') S'.
    shift = np.eye(inputs + 1)
    shift[:-1, -1] = MIDDLE
    return (shift @ sums @ shift.T).astype(np.float32)


def exact_terms(height: int, width: int) -> int:
    """Into how large equal pieces, of at most EXACT_TERMS, the sum over an image can be cut."""
    positions = height * width
    return max(n for n in range(1, EXACT_TERMS + 1) if positions % n == 0)
