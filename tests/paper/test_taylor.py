"""Section 5.1 of the paper on the small smooth problem, and checks that the check can fail."""

from __future__ import annotations

import math

import numpy as np
import pytest
import small_problem as small
import tensorflow as tf
from slow_reference import Batch, SlowLearner, Task

from supervised_reptile.paper import taylor
from supervised_reptile.paper.taylor import METHODS, RATES, STEPS, ExpectedGradient, Measurement

SMOOTH = taylor.smooth_problem()


@pytest.fixture(scope="module")
def measured() -> dict[tuple[str, int], Measurement]:
    """Every measurement of the study."""
    return {(m.method, m.steps): m for m in taylor.measure(SMOOTH)}


def test_every_algorithm_with_every_number_of_inner_steps(
    measured: dict[tuple[str, int], Measurement],
) -> None:
    pairs = {(name, k) for name in ("FOML", "MAML", "Reptile") for k in (2, 3, 4, 5, 6)}
    assert set(measured) == {*pairs, ("joint training", 1)}


@pytest.mark.parametrize("k", STEPS)
def test_predictions_are_the_papers(k: int) -> None:
    assert METHODS["MAML"].predicted(k) == (1, -2 * (k - 1))
    assert METHODS["FOML"].predicted(k) == (1, -(k - 1))
    assert METHODS["Reptile"].predicted(k) == (k, -math.comb(k, 2))
    assert METHODS["joint training"].predicted(1) == (1, 0)


def test_weights_are_the_predicted_ones(measured: dict[tuple[str, int], Measurement]) -> None:
    for m in measured.values():
        np.testing.assert_allclose(m.limits, m.predicted, rtol=1e-7, atol=1e-8)
        assert m.agrees, m.method


def test_remainders_are_of_second_order(measured: dict[tuple[str, int], Measurement]) -> None:
    for (name, _), m in measured.items():
        if name == "joint training":
            assert m.order is None
            continue
        assert m.order == pytest.approx(2, abs=0.02)
        assert m.remainders[-1] > 100 * taylor.ROUNDING  # far from where rounding would show


def test_joint_training_follows_nothing_but_the_gradient(
    measured: dict[tuple[str, int], Measurement],
) -> None:
    m = measured["joint training", 1]
    np.testing.assert_allclose(m.gradients, np.tile(m.directions[0], (len(RATES), 1)), rtol=1e-9)


WRONG = {
    "another algorithm's": ("FOML", 3, METHODS["MAML"].predicted(3), 1),
    "no AvgGradInner": ("Reptile", 4, (4, 0), 1),
    "the other sign": ("MAML", 2, (1, 2), 1),
    "one in a hundred thousand": ("MAML", 6, (1, -10.0001), None),
    "a mean instead of a sum": ("Reptile", 5, (1, -10), 0),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_prediction_fails(measured: dict[tuple[str, int], Measurement], case: str) -> None:
    name, k, predicted, order = WRONG[case]
    wrong = measured[name, k]._replace(predicted=predicted)
    assert not wrong.agrees
    if order is not None:
        assert wrong.order == pytest.approx(order, abs=0.1)


def test_a_wrong_algorithm_fails() -> None:
    """MAML without its second term, the derivative of the inner steps, is FOML."""
    half = METHODS["FOML"]._replace(predicted=METHODS["MAML"].predicted)
    gradients = ExpectedGradient(SMOOTH, half)(3, RATES)
    basis = taylor.directions(SMOOTH)
    assert not Measurement("MAML", 3, half.predicted(3), basis, gradients).agrees
    assert Measurement("FOML", 3, (1, -2), basis, gradients).agrees


# ---- against slower and other ways


def losses(weights: tf.Tensor) -> list[list[tf.Tensor]]:
    """Of every mini-batch of every task."""
    found = []
    for rows, labels in zip(*SMOOTH.batches, strict=True):
        found.append(
            [
                taylor.problem(0.0).loss(batch, taylor.predict((weights,), (points,)))
                for batch, points in zip(labels, tf.gather(SMOOTH.table[0], rows), strict=True)
            ]
        )
    return found


def test_avg_grad_inner_is_half_the_gradient_of_the_inner_product() -> None:
    """The paper's equation: E[H2 g1] = 1/2 d/dw E[g1 . g2]."""
    (weights,) = SMOOTH.weights
    with tf.GradientTape() as outer:
        outer.watch(weights)
        with tf.GradientTape(persistent=True) as inner:
            inner.watch(weights)
            values = losses(weights)
        pairs = []
        for task in values:
            gradients = [inner.gradient(value, weights) for value in task]
            pairs += [
                tf.reduce_sum(one * other)
                for i, one in enumerate(gradients)
                for j, other in enumerate(gradients)
                if i != j
            ]
        product = tf.reduce_mean(pairs)
    first, second = taylor.directions(SMOOTH)
    np.testing.assert_allclose(second, outer.gradient(product, weights) / 2, rtol=1e-9, atol=1e-11)
    means = [inner.gradient(value, weights) for task in values for value in task]
    np.testing.assert_allclose(first, np.mean(means, axis=0), rtol=1e-9, atol=1e-12)


def test_every_order_comes_once() -> None:
    tasks = taylor.all_orders(SMOOTH.batches, 3, tail=True)
    assert tasks.batches.rows.shape == (3 * 6 * 5 * 4, 2, 4)
    assert tasks.tail.rows.shape == (3 * 6 * 5 * 4, 4)
    every = np.concatenate([tasks.batches.rows, tasks.tail.rows[:, None]], axis=1)
    assert len({each.tobytes() for each in every}) == len(every)
    for each in every:
        assert len(np.unique(each)) == 3 * 4  # mini-batches share no example


def slow_mean(method: str, k: int, rate: float) -> np.ndarray:
    """The expected gradient by the slow reference, one order after the other."""
    batches, tail = taylor.all_orders(SMOOTH.batches, k, METHODS[method].tail)
    points, followed = SMOOTH.table[0].numpy(), []
    for i in range(len(batches.rows)):
        each = [
            Batch((points[rows],), labels)
            for rows, labels in zip(batches.rows[i], batches.labels[i], strict=True)
        ]
        last = Batch((points[tail.rows[i]],), tail.labels[i]) if METHODS[method].tail else None
        slow = SlowLearner(taylor.problem(rate), SMOOTH.weights[0], np.zeros(1), 0)
        followed.append(slow.run(Task(each, last)) / -rate)
    return np.mean(followed, axis=0)


@pytest.mark.parametrize("method", ["FOML", "Reptile"])
def test_what_is_followed_is_what_the_reference_follows(method: str) -> None:
    (fast,) = ExpectedGradient(SMOOTH, METHODS[method])(2, np.array([0.01]))
    small.assert_close(fast, slow_mean(method, 2, 0.01))


def test_maml_is_the_derivative_of_the_loss_after_adapting() -> None:
    """By central differences of the mean tail loss, with the slow reference's inner steps."""
    rate, width = 0.02, 1e-5
    (fast,) = ExpectedGradient(SMOOTH, METHODS["MAML"])(2, np.array([rate]))
    direction = np.random.default_rng(0).normal(size=fast.shape)
    ends = [mean_tail_loss(SMOOTH.weights[0] + s * width * direction, rate) for s in (1, -1)]
    assert fast @ direction == pytest.approx((ends[0] - ends[1]) / (2 * width), rel=1e-7)


def mean_tail_loss(weights: tf.Tensor, rate: float) -> float:
    tasks, points, found = taylor.all_orders(SMOOTH.batches, 2, True), SMOOTH.table[0].numpy(), []
    for i in range(len(tasks.tail.rows)):
        slow = SlowLearner(taylor.problem(rate), weights, np.zeros(1), 0)
        slow.inner_step(Batch((points[tasks.batches.rows[i, 0]],), tasks.batches.labels[i, 0]))
        outputs = slow.outputs(slow.weights, (points[tasks.tail.rows[i]],))
        found.append(float(slow.problem.loss(tasks.tail.labels[i], outputs)))
    return float(np.mean(found))


@pytest.mark.parametrize("degree", [0, 1, 3])
def test_extrapolation_to_zero_is_exact_for_polynomials(degree: int) -> None:
    coefficients = np.random.default_rng(degree).normal(size=(degree + 1, 2))
    positions = 2.0 ** -np.arange(5)
    values = sum(positions[:, None] ** i * c for i, c in enumerate(coefficients))
    np.testing.assert_allclose(taylor.at_zero(positions, values), coefficients[0], rtol=1e-12)
