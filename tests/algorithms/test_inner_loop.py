"""Inner steps against NumPy, and the compiled inner loop against single steps."""

from __future__ import annotations

import numpy as np
import pytest
import small_problem as small
import tensorflow as tf
from slow_reference import Batch, SlowLearner

from supervised_reptile.algorithms.inner_loop import (
    Examples,
    InnerRule,
    InnerState,
    Problem,
    adapt,
    adapt_all,
    inner_step,
    look_up,
    summed_cross_entropy,
)
from supervised_reptile.data.episodes import TaskShape
from supervised_reptile.networks.weights import zeros_like

RATE = 0.05


def distances(rule: InnerRule) -> Problem:
    """Weights as a point, inputs as points: the gradient is the sum of weights - input."""

    def loss(labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.cast(labels, outputs.dtype)[:, None] * outputs**2) / 2

    return Problem(lambda weights, inputs: weights[0] - inputs[0], loss, rule)


def point_state(time: int = 4) -> InnerState:
    weights, moment = np.array([0.5, -2.0, 3.0]), np.array([0.0, 0.3, 20.0])
    return InnerState((tf.constant(weights),), (tf.constant(moment),), tf.constant(time, tf.int64))


def point_batches(count: int) -> list[Batch]:
    random = np.random.default_rng(0)
    return [Batch((random.normal(size=(4, 3)),), np.ones(4, np.int32)) for _ in range(count)]


def take_steps(problem: Problem, state: InnerState, batches: list[Batch]) -> InnerState:
    for batch in batches:
        inputs = tuple(map(tf.constant, batch.inputs))
        state = inner_step(problem, state, inputs, tf.constant(batch.labels))
    return state


@pytest.mark.parametrize("time", [0, 4, 123_456])
def test_adam_is_the_published_formula(time: int) -> None:
    state, batches = point_state(time), point_batches(5)
    weights, moment, _ = small.flat(state)
    for step, batch in enumerate(batches):
        gradient = np.sum(weights - batch.inputs[0], axis=0)
        moment = 0.999 * moment + 0.001 * gradient**2
        correction = np.sqrt(1 - 0.999 ** (time + step + 1))
        weights = weights - RATE * correction * gradient / (np.sqrt(moment) + 1e-8)
    end = take_steps(distances(InnerRule(RATE)), state, batches)
    np.testing.assert_allclose(end.weights[0], weights, rtol=1e-12)
    np.testing.assert_allclose(end.second_moment[0], moment, rtol=1e-12)
    assert end.time.numpy() == time + 5
    assert end.time.dtype == tf.int64


def test_adams_epsilon_is_outside_of_the_root_and_uncorrected() -> None:
    zero = (tf.zeros(1, tf.float64),)
    state = InnerState(zero, zero, tf.constant(0, tf.int64))
    gradient = 1e-8  # as large as epsilon, so that its place matters
    batch = Batch((np.array([[-gradient]]),), np.ones(1, np.int32))
    end = take_steps(distances(InnerRule(RATE)), state, [batch])
    root = np.sqrt(0.001)
    expected = -RATE * root * gradient / (root * gradient + 1e-8)
    np.testing.assert_allclose(end.weights[0], [expected], rtol=1e-9)


def test_sgd_leaves_adams_moment_alone() -> None:
    state, batches = point_state(), point_batches(3)
    weights = state.weights[0].numpy()
    for batch in batches:
        weights = weights - RATE * np.sum(weights - batch.inputs[0], axis=0)
    end = take_steps(distances(InnerRule(RATE, sgd=True)), state, batches)
    np.testing.assert_allclose(end.weights[0], weights, rtol=1e-12)
    np.testing.assert_array_equal(end.second_moment[0], state.second_moment[0])


def test_weights_decay_before_the_gradient_is_taken() -> None:
    state, (batch,) = point_state(), point_batches(1)
    decayed = 0.5 * state.weights[0].numpy()
    expected = decayed - RATE * np.sum(decayed - batch.inputs[0], axis=0)
    rule = InnerRule(RATE, sgd=True, weight_decay=0.5)
    end = take_steps(distances(rule), state, [batch])
    np.testing.assert_allclose(end.weights[0], expected, rtol=1e-12)


@pytest.mark.parametrize("rule", [small.ADAM, small.SGD])
def test_every_step_decays_anew(rule: InnerRule) -> None:
    rule = rule._replace(weight_decay=0.9)
    state, batches = point_state(), point_batches(4)
    slow = SlowLearner(distances(rule), *small.flat(state))
    for batch in batches:
        slow.inner_step(batch)
    end = take_steps(distances(rule), state, batches)
    np.testing.assert_allclose(end.weights[0], slow.weights, rtol=1e-12)
    np.testing.assert_allclose(end.second_moment[0], slow.second_moment, rtol=1e-12)


def image_batch(rows: list[int], labels: list[int], times: int = 1) -> Batch:
    inputs = small.inputs(rows * times)
    return Batch(inputs, np.array(labels * times, np.int32))


def test_the_loss_is_the_sum_over_the_batch() -> None:
    labels, scores = np.array([0, 2]), np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 1.0]])
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    expected = -np.log(shares[0, 0]) - np.log(shares[1, 2])
    value = summed_cross_entropy(tf.constant(labels), tf.constant(scores))
    np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_a_batch_given_twice_moves_the_weights_twice_as_far() -> None:
    problem, state = small.classifier(small.SGD), small.some_state()
    once, twice = (
        take_steps(problem, state, [image_batch([0, 7, 14, 15], [0, 1, 2, 2], times)]).weights[0]
        - state.weights[0]
        for times in (1, 2)
    )
    assert np.abs(once).max() > 1e-3
    small.assert_close(twice, 2 * once)


def test_adams_moment_grows_with_the_square_of_the_batch() -> None:
    problem, state = small.classifier(small.ADAM), small.some_state()
    state = state._replace(second_moment=zeros_like(state.second_moment))
    once, twice = (
        take_steps(problem, state, [image_batch([0, 7, 14], [0, 1, 2], times)]).second_moment[0]
        for times in (1, 2)
    )
    assert np.max(once) > 1e-6
    small.assert_close(twice, 4 * once)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("rule", [small.ADAM, small.SGD._replace(weight_decay=0.95)])
def test_adapt_is_a_loop_of_inner_steps(rule: InnerRule, compiled: bool) -> None:
    problem, state = small.classifier(rule), small.some_state()
    random = np.random.default_rng(5)
    rows = random.integers(0, len(small.IMAGES), (6, 5)).astype(np.int32)
    labels = random.integers(0, 3, (6, 5)).astype(np.int32)
    slow = SlowLearner(problem, *small.flat(state))
    for batch in zip(rows, labels, strict=True):
        slow.inner_step(Batch(small.inputs(batch[0]), batch[1]))

    def fast(table: tuple[tf.Tensor, ...]) -> InnerState:
        return adapt(problem, state, table, Examples(tf.constant(rows), tf.constant(labels)))

    end = (tf.function(fast) if compiled else fast)(small.TABLE)
    small.assert_close(end.weights[0], slow.weights)
    small.assert_close(end.second_moment[0], slow.second_moment)
    assert end.time.numpy() == 7 + 6


def test_adapt_to_no_batches_changes_nothing() -> None:
    none = tf.zeros((0, 5), tf.int32)
    state = small.some_state()
    end = adapt(small.classifier(small.ADAM), state, small.TABLE, Examples(none, none))
    for before, after in zip(small.flat(state), small.flat(end), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_rows_are_looked_up_in_the_type_of_the_weights(dtype: tf.DType) -> None:
    table = tf.constant(np.array([[0, 7], [51, 1], [255, 2]], np.uint8)), tf.constant([0.5, 1, 2])
    seen, also = look_up(table, tf.constant([[2, 1], [0, 2]]), (tf.zeros(3, dtype),))
    assert seen.dtype == also.dtype == dtype
    assert seen.numpy().tolist() == [[[255, 2], [51, 1]], [[0, 7], [255, 2]]]
    assert also.numpy().tolist() == [[2, 1], [0.5, 2]]


@pytest.mark.parametrize(
    ("rule", "at_once"),
    [
        *((small.ADAM, at_once) for at_once in (0, 2, 8)),
        *(pytest.param(small.ADAM, n, marks=pytest.mark.soak) for n in (1, 3, 5)),
        (small.SGD, 2),
    ],
)
def test_tasks_that_take_turns_end_as_each_alone(rule: InnerRule, at_once: int) -> None:
    """At most `at_once` inner steps in work, to the last bit the same."""
    problem, start = small.classifier(rule), small.some_state()
    tasks = small.small_tasks(TaskShape(3, 4, steps=6, batch=5), steps=1, tasks=5)
    batches = Examples(tf.constant(tasks.rows), tf.constant(tasks.labels))

    @tf.function(autograph=False)
    def together(batches: Examples) -> list[InnerState]:
        return adapt_all(problem, [start] * 5, small.TABLE, batches, at_once)

    @tf.function(autograph=False)
    def alone(batches: Examples) -> InnerState:
        return adapt(problem, start, small.TABLE, batches)

    ends = together(batches)
    assert len(ends) == 5
    for task, end in enumerate(ends):
        expected = alone(tf.nest.map_structure(lambda a, task=task: a[task], batches))
        tf.nest.map_structure(np.testing.assert_array_equal, end, expected)
        assert end.time == start.time + 6
    assert not np.array_equal(ends[0].weights[0], ends[1].weights[0])
