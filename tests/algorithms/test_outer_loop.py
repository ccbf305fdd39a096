"""Outer steps of every algorithm, compiled, against the slow reference."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
import small_problem as small
from slow_reference import Batch, SlowLearner, slow_tasks

from supervised_reptile.algorithms.execution import LANES
from supervised_reptile.algorithms.inner_loop import Examples, InnerRule
from supervised_reptile.algorithms.learner import Learner
from supervised_reptile.algorithms.outer_loop import TrainingTasks, outer_steps
from supervised_reptile.algorithms.outer_optimizers import OPTIMIZERS
from supervised_reptile.config import Config
from supervised_reptile.data.episodes import Tasks

REPTILE, ALGORITHMS = small.REPTILE, small.ALGORITHMS
ORDERS = ("chained", "parallel", "sequential")
STEP_SIZES = np.array([0.8, 0.5])
RULES = {"sgd": small.SGD, "adam with decay": small.ADAM._replace(weight_decay=0.9)}


def some_batch(rows: np.ndarray, labels: np.ndarray) -> Batch:
    """With its pixels."""
    return Batch(small.inputs(rows), labels)


def train_slowly(
    rule: InnerRule,
    order: str,
    tasks: Tasks,
    sizes: np.ndarray,
    second_order: bool = False,
    weights: np.ndarray | None = None,
) -> SlowLearner:
    """The slow reference after outer steps from the state `small.some_state` (or `weights`)."""
    slow = SlowLearner(small.classifier(rule), *small.flat(small.some_state()), second_order)
    if weights is not None:
        slow.weights = weights
    steps = {
        "chained": slow.outer_step_in_a_chain,
        "parallel": slow.outer_step_in_parallel,
        "sequential": slow.outer_step_in_sequence,
    }
    one_by_one = slow_tasks(tasks, some_batch)
    meta_batch = len(one_by_one) // len(sizes)
    for step, size in enumerate(sizes):
        steps[order](one_by_one[step * meta_batch : (step + 1) * meta_batch], size)
    return slow


def assert_same(learner: Learner, slow: SlowLearner) -> None:
    small.assert_close(learner.weights, slow.weights)
    small.assert_close(learner.second_moment, slow.second_moment)
    assert learner.time.numpy() == slow.time


# Every algorithm in every order under Adam, and as it is by default under SGD.
TWO_STEPS = [
    *product(ALGORITHMS, ORDERS, ["adam with decay"]),
    *product(ALGORITHMS, ["chained"], ["sgd"]),
]


def is_short(algorithm: str, order: str, rule: str) -> bool:
    """Whether a case is not for the long form alone: the richest algorithm has every other."""
    rich = algorithm == "foml with a tail of its own"
    return rich or ((algorithm == "reptile" or order == "chained") and rule != "sgd")


@pytest.mark.parametrize(
    ("algorithm", "order", "rule"),
    [pytest.param(*case, marks=[pytest.mark.soak] * (not is_short(*case))) for case in TWO_STEPS],
)
def test_two_outer_steps(algorithm: str, order: str, rule: str) -> None:
    tasks = small.small_tasks(ALGORITHMS[algorithm], steps=2, tasks=2)
    learner = small.small_learner(RULES[rule], order)
    assert learner.train(small.task_batch(tasks), STEP_SIZES) == 2
    assert_same(learner, train_slowly(RULES[rule], order, tasks, STEP_SIZES))
    assert np.abs(learner.weights - small.some_weights()).max() > 1e-3


def test_a_tail_of_its_own_has_another_size_than_the_other_batches() -> None:
    tasks = small.small_tasks(ALGORITHMS["foml with a tail of its own"], steps=1, tasks=1)
    assert tasks.rows.shape == (1, 2, 5)
    assert tasks.tail_rows.shape == (1, 6)


@pytest.mark.parametrize("order", ORDERS)
def test_more_tasks_than_lanes(order: str) -> None:
    meta_batch = 11
    assert LANES < meta_batch < 2 * LANES
    tasks = small.small_tasks(REPTILE._replace(steps=2), steps=1, tasks=meta_batch)
    learner = small.small_learner(small.ADAM, order)
    learner.train(small.task_batch(tasks), STEP_SIZES[:1])
    assert_same(learner, train_slowly(small.ADAM, order, tasks, STEP_SIZES[:1]))
    task_time = 2 if order == "parallel" else 2 * meta_batch
    assert learner.time.numpy() == small.some_state().time.numpy() + task_time


def test_orders_agree_on_a_meta_batch_of_one() -> None:
    tasks = small.small_tasks(ALGORITHMS["foml"], steps=3, tasks=1)
    learners = [small.small_learner(small.ADAM, order) for order in ORDERS]
    for learner in learners:
        learner.train(small.task_batch(tasks), np.array([1.0, 0.5, 0.1]))
    first, *others = (small.flat(learner.state) for learner in learners)
    for other in others:
        for ours, its in zip(first, other, strict=True):
            np.testing.assert_allclose(ours, its, rtol=1e-12)


def test_orders_differ_under_adam_and_agree_under_sgd() -> None:
    tasks = small.small_tasks(REPTILE, steps=2, tasks=2)
    ends = {}
    for rule in (small.ADAM, small.SGD):
        for order in ORDERS:
            learner = small.small_learner(rule, order)
            learner.train(small.task_batch(tasks), STEP_SIZES)
            ends[rule, order] = learner.weights.numpy()
    for one, other in combinations(ORDERS, 2):
        small.assert_close(ends[small.SGD, one], ends[small.SGD, other])
        assert np.abs(ends[small.ADAM, one] - ends[small.ADAM, other]).max() > 1e-5


def test_a_chain_of_equal_tasks_ends_in_the_second_moment_of_a_sequence() -> None:
    """Then the mean of what tasks add is what each adds, if the second moment hardly matters
    to where they lead: where gradients are those of the first inner step."""
    shape = REPTILE._replace(steps=1)
    one = small.small_tasks(shape, steps=1, tasks=1)
    same = Tasks(*(np.repeat(array, 4, axis=0) for array in one))
    moments = []
    for order in ("chained", "sequential"):
        learner = small.small_learner(small.ADAM, order)
        learner.train(small.task_batch(same), STEP_SIZES[:1])
        moments.append(learner.second_moment.numpy())
    np.testing.assert_allclose(*moments, rtol=1e-10)


@pytest.mark.parametrize("order", ORDERS)
def test_one_call_or_several_end_in_the_same_bits(order: str) -> None:
    tasks = small.small_tasks(REPTILE, steps=4, tasks=2)
    sizes = np.array([1.0, 0.75, 0.5, 0.25])
    whole, pieces = (small.small_learner(small.ADAM, order) for _ in range(2))
    whole.train(small.task_batch(tasks), sizes)
    for steps in (slice(0, 1), slice(1, 4)):
        part = small.small_tasks(REPTILE, steps.stop - steps.start, 2, first=steps.start)
        pieces.train(small.task_batch(part), sizes[steps])
    for one, other in zip(small.flat(whole.state), small.flat(pieces.state), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_second_moment_beyond_all_numbers_is_divergence() -> None:
    """Its weight would stand still from then on, and look sound."""
    learner = small.small_learner(small.ADAM)
    learner.second_moment.assign(np.where(np.arange(learner.weights.shape[0]) == 3, np.inf, 1))
    tasks = small.small_tasks(REPTILE, steps=2, tasks=2)
    assert learner.train(small.task_batch(tasks), STEP_SIZES) == 0
    assert np.isfinite(learner.weights).all()


def test_the_same_steps_run_eagerly() -> None:
    tasks = small.small_tasks(REPTILE, steps=2, tasks=2)
    per_step = [array.reshape(2, 2, *array.shape[1:]) for array in tasks[:4]]
    work = TrainingTasks(Examples(*per_step[:2]), Examples(*per_step[2:]))
    learner = small.small_learner(small.ADAM)
    sgd, start = OPTIMIZERS["sgd"], learner.outer_state
    state, finite = outer_steps(learner.meta_batch, sgd, start, small.TABLE, (work, STEP_SIZES))
    learner.train(small.task_batch(tasks), STEP_SIZES)
    assert finite == 2
    for one, other in zip(small.flat(state.inner), small.flat(learner.state), strict=True):
        small.assert_close(one, other)


@pytest.mark.parametrize("order", ORDERS)
def test_sound_counts_the_outer_steps_before_the_weights_broke(order: str) -> None:
    learner = small.small_learner(small.ADAM, order)
    tasks = small.task_batch(small.small_tasks(REPTILE, 4, 2))
    for bad in (3, 0, 2):
        sizes = np.full(4, 0.1)
        sizes[bad] = np.inf
        learner.weights.assign(small.some_weights())
        assert learner.train(tasks, sizes) == bad


def test_a_diverging_loss_is_noticed() -> None:
    learner = small.small_learner(InnerRule(1e200, sgd=True))
    assert learner.train(small.task_batch(small.small_tasks(REPTILE, 2, 2)), STEP_SIZES) == 0


def test_the_outer_step_size_is_annealed_linearly() -> None:
    config = Config(outer_steps=4, outer_step_size=1.0, outer_step_size_final=0.0)
    assert [config.outer_step_size_at(i) for i in range(5)] == [1, 0.75, 0.5, 0.25, 0]
    config = Config(outer_steps=10, outer_step_size=0.1, outer_step_size_final=0.3)
    assert config.outer_step_size_at(5) == pytest.approx(0.2)
    constant = Config(outer_steps=7)
    assert [constant.outer_step_size_at(i) for i in (0, 3, 6)] == pytest.approx([0.1] * 3)
