"""Gradients of many mini-batches at the same weights. Pure functions that run eagerly too."""

from __future__ import annotations

import tensorflow as tf

from supervised_reptile.algorithms.execution import Execution, SideBySide
from supervised_reptile.algorithms.inner_loop import (
    Examples,
    InputTable,
    Problem,
    look_up,
    loss_gradient,
)
from supervised_reptile.networks.weights import Weights


def batch_gradients(
    problem: Problem,
    weights: Weights,
    table: InputTable,
    batches: Examples,
    execution: Execution = SideBySide(),  # noqa: B008 - has no state
) -> tf.Tensor:
    """The gradient of each batch's loss by all weights: [batches, batch] -> [batches, P]."""

    def of_batch(batch: Examples) -> tf.Tensor:
        inputs = look_up(table, batch.rows, weights)
        return problem.grouping.join(loss_gradient(problem, weights, inputs, batch.labels))

    return execution.map(of_batch, batches, weights[0].dtype)


def gradient_products(
    problem: Problem,
    weights: Weights,
    table: InputTable,
    batches: Examples,
    execution: Execution = SideBySide(),  # noqa: B008 - has no state
) -> tf.Tensor:
    """Inner products and cosines of the gradients of two mini-batches of each task.

    Args:
      batches: rows and labels [tasks, 2, batch].

    Returns:
      [2, tasks, tasks], products before cosines: at [:, t, u] of the first batch of task t and
      the second of task u, so that batches of the same task are on the diagonal.
    """
    flat = tf.nest.map_structure(lambda array: tf.reshape(array, [-1, array.shape[-1]]), batches)
    gradients = batch_gradients(problem, weights, table, flat, execution)
    directions = tf.math.divide_no_nan(gradients, tf.norm(gradients, axis=-1, keepdims=True))

    def crossed(vectors: tf.Tensor) -> tf.Tensor:
        return tf.matmul(vectors[::2], vectors[1::2], transpose_b=True)

    return tf.stack([crossed(gradients), crossed(directions)])
