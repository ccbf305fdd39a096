"""All weights as a few vectors: what inner and outer steps compute with."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

Weights = tuple[tf.Tensor, ...]  # vectors; together all weights, or Adam's value for each


class Grouping(NamedTuple):
    """How one flat vector of all weights, [P], becomes `Weights` and back; by default as it is."""

    split: Callable[[tf.Tensor], Weights] = lambda flat: (flat,)
    join: Callable[[Weights], tf.Tensor] = lambda weights: weights[0]


def plus(one: Weights, other: Weights) -> Weights:
    """The sum."""
    return tuple(a + b for a, b in zip(one, other, strict=True))


def minus(one: Weights, other: Weights) -> Weights:
    """The difference."""
    return tuple(a - b for a, b in zip(one, other, strict=True))


def times(weights: Weights, factor: tf.Tensor | float) -> Weights:
    """The multiple."""
    return tuple(factor * w for w in weights)


def zeros_like(weights: Weights) -> Weights:
    """As many zeros."""
    return tuple(tf.zeros_like(w) for w in weights)


def all_finite(weights: Weights) -> tf.Tensor:
    """Whether no weight is infinite or not a number."""
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(w)) for w in weights])
