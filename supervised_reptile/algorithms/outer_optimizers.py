"""Outer optimizers: what an outer step makes of the mean update, the negative gradient.

The paper's adds it, times the outer step size. Pure functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from supervised_reptile.networks.weights import Weights, plus, times

MOMENTUM = 0.9
ADAM_BETA1, ADAM_BETA2, ADAM_EPSILON = 0.9, 0.999, 1e-8

OptimizerState = tuple[Weights, ...]  # kept from one outer step to the next


class OuterOptimizer(NamedTuple):
    """How the mean update of a meta-batch, the negative gradient, moves the weights."""

    state: tuple[str, ...]  # names of what it keeps
    # (state, update, step size, outer steps before) -> (what to add to the weights, state)
    step: Callable[[OptimizerState, Weights, tf.Tensor, tf.Tensor], tuple[Weights, OptimizerState]]


def _sgd(
    state: OptimizerState, update: Weights, step_size: tf.Tensor, _: tf.Tensor
) -> tuple[Weights, OptimizerState]:
    """The paper's outer step."""
    return times(update, step_size), state


def _momentum(
    state: OptimizerState, update: Weights, step_size: tf.Tensor, _: tf.Tensor
) -> tuple[Weights, OptimizerState]:
    """The heavy ball: updates add up, each forgotten by a tenth at every step."""
    velocity = plus(times(state[0], MOMENTUM), update)
    return times(velocity, step_size), (velocity,)


def _adam(
    state: OptimizerState, update: Weights, step_size: tf.Tensor, time: tf.Tensor
) -> tuple[Weights, OptimizerState]:
    """Adam (arXiv 1412.6980, Algorithm 1)."""

    def mean(past: Weights, now: Weights, beta: float) -> Weights:
        return plus(times(past, beta), times(now, 1 - beta))

    def unbiased(mean: Weights, beta: float) -> Weights:
        weight = 1 - tf.pow(tf.constant(beta, tf.float64), tf.cast(time + 1, tf.float64))
        return times(mean, 1 / tf.cast(weight, step_size.dtype))

    first = mean(state[0], update, ADAM_BETA1)
    second = mean(state[1], tuple(u * u for u in update), ADAM_BETA2)
    directions = zip(unbiased(first, ADAM_BETA1), unbiased(second, ADAM_BETA2), strict=True)
    moved = tuple(step_size * m / (tf.sqrt(v) + ADAM_EPSILON) for m, v in directions)
    return moved, (first, second)


OPTIMIZERS = {
    "sgd": OuterOptimizer((), _sgd),
    "momentum": OuterOptimizer(("velocity",), _momentum),
    "adam": OuterOptimizer(("first_moment", "second_moment"), _adam),
}
