"""What a network predicts of new waves while it adapts to a few of their points."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from supervised_reptile.algorithms.compiled import AnyLength
from supervised_reptile.algorithms.inner_loop import (
    Examples,
    InnerState,
    Inputs,
    InputTable,
    Problem,
    inner_step,
    look_up,
)
from supervised_reptile.algorithms.learner import Learner
from supervised_reptile.data.episodes import Tasks


class Start(NamedTuple):
    """Where adapting starts: an `InnerState` with all weights in one vector."""

    weights: tf.Tensor  # [P]
    second_moment: tf.Tensor  # [P]
    time: tf.Tensor  # scalar int64


def start_of(learner: Learner) -> Start:
    """The learner's state of now."""
    variables = learner.weights, learner.second_moment, learner.time
    return Start(*(variable.read_value() for variable in variables))


def predictions_while_adapting(
    problem: Problem, start: InnerState, table: InputTable, batches: Examples, queries: Inputs
) -> tf.Tensor:
    """Outputs for `queries` [n, ...] before and after every inner step, [steps + 1, n].

    batches: rows and labels [steps, batch].
    """
    steps = tf.shape(batches.rows)[0]

    def body(
        step: tf.Tensor, state: InnerState, outputs: tf.TensorArray
    ) -> tuple[tf.Tensor, InnerState, tf.TensorArray]:
        outputs = outputs.write(step, problem.predict(state.weights, queries))
        inputs = look_up(table, batches.rows[step], state.weights)
        return step + 1, inner_step(problem, state, inputs, batches.labels[step]), outputs

    outputs = tf.TensorArray(start.weights[0].dtype, steps + 1)
    _, state, outputs = tf.while_loop(lambda step, *_: step < steps, body, (0, start, outputs))
    return outputs.write(steps, problem.predict(state.weights, queries)).stack()


class Fitter:
    """Adapts to tasks of waves, compiled once for all states of all learners of a problem."""

    def __init__(self, problem: Problem, inputs: np.ndarray) -> None:
        """`inputs`: float32 [points, 1], all x of a curve."""
        self._problem = problem
        self._table = (tf.constant(inputs),)
        self._fit = AnyLength(self._fit_one, xla=True)

    def __call__(self, start: Start, tasks: Tasks) -> np.ndarray:
        """Predictions at all x, float [tasks, steps + 1, points], before and after each step."""
        pairs = zip(tasks.rows, tasks.labels, strict=True)
        batches = (Examples(*map(tf.constant, pair)) for pair in pairs)
        return np.stack([self._fit(start, self._table, own).numpy() for own in batches])

    def _fit_one(self, start: Start, table: InputTable, batches: Examples) -> tf.Tensor:
        split = self._problem.grouping.split
        state = InnerState(split(start.weights), split(start.second_moment), start.time)
        queries = tuple(tf.cast(column, start.weights.dtype) for column in table)
        return predictions_while_adapting(self._problem, state, table, batches, queries)


def losses(predictions: np.ndarray, tasks: Tasks) -> np.ndarray:
    """Mean squared errors over all points, float64 [tasks, steps + 1], of what a Fitter returns."""
    truth = tasks.query_labels[:, None, :, 0].astype(np.float64)
    return np.square(predictions - truth).mean(axis=2)
