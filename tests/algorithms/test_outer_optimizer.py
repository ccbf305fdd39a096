"""Outer optimizers against NumPy, and their state through interruptions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import small_problem as small
import tensorflow as tf
from command_line import TINY, assert_same_state, call, drawn_alphabets, flags, saved_state
from interruptions import STOPPED
from test_outer_loop import ALGORITHMS, train_slowly

from supervised_reptile.algorithms.learner import Learner
from supervised_reptile.algorithms.outer_optimizers import OPTIMIZERS
from supervised_reptile.config import OUTER_OPTIMIZERS

SIZES = np.array([0.5, 0.25, 0.125])


class SlowOptimizer:
    """The textbook's formulas, for a gradient at a time."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.velocity = self.first = self.second = 0.0
        self.time = 0

    def move(self, weights: np.ndarray, gradient: np.ndarray, rate: float) -> np.ndarray:
        self.time += 1
        if self.name == "sgd":
            return weights - rate * gradient
        if self.name == "momentum":
            self.velocity = 0.9 * self.velocity + gradient
            return weights - rate * self.velocity
        self.first = 0.9 * self.first + (1 - 0.9) * gradient
        self.second = 0.999 * self.second + (1 - 0.999) * gradient**2
        mean = self.first / (1 - 0.9**self.time)
        square = self.second / (1 - 0.999**self.time)
        return weights - rate * mean / (np.sqrt(square) + 1e-8)


def test_every_optimizer_of_the_command_line_is_there() -> None:
    assert tuple(OPTIMIZERS) == OUTER_OPTIMIZERS


@pytest.mark.parametrize("name", OUTER_OPTIMIZERS)
def test_the_published_formula(name: str) -> None:
    optimizer, slow = OPTIMIZERS[name], SlowOptimizer(name)
    random = np.random.default_rng(0)
    weights = random.normal(size=4)
    mine, state = tf.constant(weights), tuple((tf.zeros(4, tf.float64),) for _ in optimizer.state)
    for time, rate in enumerate([0.1, 0.5, 0.2, 0.0, 0.3]):
        gradient = random.normal(size=4) * [1, 1e-9, 1e3, 0]  # 1e-9: where Adam's epsilon matters
        weights = slow.move(weights, gradient, rate)
        step, state = optimizer.step(
            state, (tf.constant(-gradient),), tf.constant(rate, tf.float64), tf.constant(time)
        )
        mine += step[0]
        np.testing.assert_allclose(mine, weights, rtol=1e-12)


def test_adams_first_step_is_the_rate_whatever_the_gradient() -> None:
    zeros = (tf.zeros(2, tf.float32),)
    update = (tf.constant([1e-3, -70.0]),)
    step, _ = OPTIMIZERS["adam"].step((zeros, zeros), update, tf.constant(0.25), tf.constant(0))
    np.testing.assert_allclose(step[0], [0.25, -0.25], rtol=1e-4)


# Every optimizer with Reptile, and the one with most state with all else.
THREE_STEPS = [
    *((name, "reptile") for name in OUTER_OPTIMIZERS),
    *(("adam", algorithm) for algorithm in ALGORITHMS if algorithm != "reptile"),
]
PIECES = [
    *((name, "chained") for name in OUTER_OPTIMIZERS),
    *(("adam", order) for order in ("parallel", "sequential")),
]


@pytest.mark.parametrize(("name", "algorithm"), THREE_STEPS)
def test_three_outer_steps(name: str, algorithm: str) -> None:
    """The gradient is the way back from where a plain outer step of size 1 leads."""
    shape, slow = ALGORITHMS[algorithm], SlowOptimizer(name)
    tasks = small.small_tasks(shape, steps=3, tasks=2)
    learner = small.small_learner(small.SGD, outer_optimizer=name)
    assert learner.train(small.task_batch(tasks), SIZES) == 3
    weights = small.some_weights()
    for step, rate in enumerate(SIZES):
        part = small.small_tasks(shape, steps=1, tasks=2, first=step)
        plain = train_slowly(small.SGD, "chained", part, np.ones(1), weights=weights)
        weights = slow.move(weights, weights - plain.weights, rate)
    small.assert_close(learner.weights, weights)
    assert learner.outer_state.time == 3


@pytest.mark.parametrize(("name", "order"), PIECES)
def test_one_call_or_several_end_in_the_same_bits(name: str, order: str) -> None:
    shape = ALGORITHMS["reptile"]
    whole, pieces = (small.small_learner(small.ADAM, order, name) for _ in range(2))
    whole.train(small.task_batch(small.small_tasks(shape, steps=3, tasks=2)), SIZES)
    for steps in (slice(0, 1), slice(1, 3)):
        part = small.small_tasks(shape, steps.stop - steps.start, 2, first=steps.start)
        pieces.train(small.task_batch(part), SIZES[steps])
    for one, other in zip(*map(everything, (whole, pieces)), strict=True):
        np.testing.assert_array_equal(one, other)


def everything(learner: Learner) -> list[np.ndarray]:
    return [value.numpy() for value in tf.nest.flatten(learner.outer_state)]


def test_a_second_moment_too_large_for_a_number_is_noticed() -> None:
    """Adam would go on with steps of zero."""
    learner = small.small_learner(small.SGD._replace(learning_rate=1e170), outer_optimizer="adam")
    tasks = small.small_tasks(ALGORITHMS["joint"], steps=3, tasks=2)
    assert learner.train(small.task_batch(tasks), SIZES) == 0


def test_plain_sgd_keeps_nothing() -> None:
    """So that checkpoints are what they were before there was a choice."""
    assert small.small_learner(small.SGD).outer_variables == {}


# ---- through the command line


@pytest.mark.parametrize("name", [pytest.param("momentum", marks=pytest.mark.soak), "adam"])
def test_resuming(name: str, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    data = drawn_alphabets(tmp_path_factory)
    given = flags(outer_optimizer=name, meta_step=0.01, meta_step_final=0)
    place = flags(data_dir=data, eval_samples=2, save_interval=30)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert call(*TINY, *given, *place, *flags(checkpoint=whole)).code == 0
    assert call(*TINY, *given, *place, *flags(checkpoint=parts), cue=STOPPED).code == 130
    assert call(*place, *flags(checkpoint=parts, resume=True)).code == 0
    assert_same_state(parts, whole)
    kept = [f"outer_{moment}" for moment in OPTIMIZERS[name].state]
    ends = [saved_state(run, names=(*kept, "outer_time")) for run in (whole, parts)]
    assert ends[0]["outer_time"] == 60
    for key in ends[0]:
        assert np.any(ends[0][key])
        np.testing.assert_array_equal(ends[0][key], ends[1][key])
    assert call(*place, *flags(checkpoint=parts, pretrained=True)).code == 0
