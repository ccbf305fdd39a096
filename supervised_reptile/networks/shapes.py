"""Shapes of tensors as far as they are known while a graph is built."""

from __future__ import annotations

import tensorflow as tf


def size(tensor: tf.Tensor, axis: int = 0) -> int:
    """The length of an axis, which must be known."""
    length = tensor.shape[axis]
    assert length is not None, f"axis {axis} of {tensor.shape}"
    return length
