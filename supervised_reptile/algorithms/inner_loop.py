"""The inner loop: optimizer steps of one task, compiled as part of the caller's graph.

All functions are pure and run eagerly too; nothing in them knows which algorithm or
which kind of episode calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import tensorflow as tf

from supervised_reptile.networks.weights import Grouping, Weights, times
from supervised_reptile.system.start_tensorflow import threads

ADAM_BETA2 = 0.999
ADAM_EPSILON = 1e-8

Inputs = tuple[tf.Tensor, ...]  # of examples, [n, ...] each
InputTable = tuple[tf.Tensor, ...]  # the columns that inputs are looked up in, [rows, ...] each
Predict = Callable[[Weights, Inputs], tf.Tensor]  # -> outputs [n, ...]
Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # (labels [n], outputs [n, ...]) -> scalar


class InnerState(NamedTuple):
    """What inner steps change. Adam's part outlives tasks (docs/semantics.md, 3)."""

    weights: Weights
    second_moment: Weights  # Adam's v
    time: tf.Tensor  # scalar int64, Adam's t: inner steps taken so far


class InnerRule(NamedTuple):
    """How one inner step moves the weights."""

    learning_rate: float | tf.Tensor
    sgd: bool = False  # else Adam with beta1 = 0
    weight_decay: float = 1.0  # weights are multiplied by it before the step


class Problem(NamedTuple):
    """What is learnt, and how one inner step learns: fixed for a whole run."""

    predict: Predict
    loss: Loss
    rule: InnerRule
    grouping: Grouping = Grouping()


class Examples(NamedTuple):
    """Examples by their row in a table, so that only numbers cross into the graph."""

    rows: tf.Tensor  # int32 [..., batch]
    labels: tf.Tensor  # int32 or, for regression, float [..., batch]


def look_up(table: InputTable, rows: tf.Tensor, like: Weights) -> Inputs:
    """Rows of a table as floats of the weights' type, [*rows.shape, ...] each."""
    return tuple(tf.cast(tf.gather(column, rows), like[0].dtype) for column in table)


def summed_cross_entropy(labels: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """The classifiers' inner loss: the SUM over the inner batch (docs/semantics.md, 1)."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=scores)
    return tf.reduce_sum(losses)


def mean_squared_error(labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """The loss of regression: the MEAN over the inner batch, labels and outputs [n]."""
    return tf.reduce_mean(tf.square(outputs - tf.cast(labels, outputs.dtype)))


def loss_gradient(problem: Problem, weights: Weights, inputs: Inputs, labels: tf.Tensor) -> Weights:
    """The gradient of one batch's loss by the weights."""
    with tf.GradientTape() as tape:
        tape.watch(weights)
        value = problem.loss(labels, problem.predict(weights, inputs))
    return cast(Weights, tape.gradient(value, weights))  # in the stubs a list, maybe sparse


def inner_step(
    problem: Problem, state: InnerState, inputs: Inputs, labels: tf.Tensor
) -> InnerState:
    """One step on one inner batch: weight decay, then Adam (docs/semantics.md, 2) or SGD."""
    rule, weights = problem.rule, state.weights
    if rule.weight_decay != 1:
        weights = times(weights, rule.weight_decay)
    gradients = loss_gradient(problem, weights, inputs, labels)
    time = state.time + 1
    if rule.sgd:
        moved = tuple(w - rule.learning_rate * g for w, g in zip(weights, gradients, strict=True))
        return InnerState(moved, state.second_moment, time)
    correction = tf.sqrt(1 - tf.pow(tf.constant(ADAM_BETA2, tf.float64), tf.cast(time, tf.float64)))
    rate = rule.learning_rate * tf.cast(correction, weights[0].dtype)
    second_moment = tuple(
        ADAM_BETA2 * v + (1 - ADAM_BETA2) * g * g
        for v, g in zip(state.second_moment, gradients, strict=True)
    )
    moved = tuple(
        w - rate * g / (tf.sqrt(v) + ADAM_EPSILON)
        for w, v, g in zip(weights, second_moment, gradients, strict=True)
    )
    return InnerState(moved, second_moment, time)


def adapt(problem: Problem, state: InnerState, table: InputTable, batches: Examples) -> InnerState:
    """Inner steps over all of `batches`, rows and labels [steps, batch], one after the other."""
    one = tf.nest.map_structure(lambda array: array[None], batches)
    return adapt_all(problem, [state], table, one)[0]


def adapt_all(
    problem: Problem,
    starts: list[InnerState],
    table: InputTable,
    batches: Examples,
    at_once: int | None = None,
) -> list[InnerState]:
    """Adapt to several tasks, rows and labels [tasks, steps, batch], each from one of `starts`.

    `at_once` says how many inner steps are computed at the same time, whichever tasks they belong
    to (None: as many as threads); results do not depend on it. So the tasks advance evenly: left
    alone, TensorFlow would finish two of five on two threads before it turns to the next, and one
    thread would have nothing to do while the other adapts to the fifth.
    """
    at_once = threads() if at_once is None else at_once
    at_once = at_once if at_once < len(starts) else 0  # 0: nothing waits
    steps = tf.shape(batches.rows)[1]

    def body(
        step: tf.Tensor, states: list[InnerState], done: list[tf.Tensor]
    ) -> tuple[tf.Tensor, list[InnerState], list[tf.Tensor]]:
        states, done = list(states), list(done)
        for task, state in enumerate(states):
            rows = batches.rows[task, step]
            if at_once:  # wait for the inner step that came `at_once` before this one
                with tf.control_dependencies([done.pop(0)]):
                    rows = tf.identity(rows)
            inputs = look_up(table, rows, state.weights)
            states[task] = inner_step(problem, state, inputs, batches.labels[task, step])
            if at_once:
                with tf.control_dependencies(states[task].weights):
                    done.append(tf.identity(step))
        return step + 1, states, done

    return tf.while_loop(
        lambda step, *_: step < steps,
        body,
        (tf.constant(0), starts, [tf.constant(0)] * at_once),
        # XLA must know how much to keep of a loop that it differentiates (MAML).
        maximum_iterations=batches.rows.shape[1],
    )[1]
