"""Evaluation against the slow reference, its two modes, and its traces."""

from __future__ import annotations

import numpy as np
import pytest
import small_problem as small
import tensorflow as tf
from slow_reference import Batch, SlowLearner

from supervised_reptile.algorithms.evaluate import (
    Episodes,
    query_scores,
)
from supervised_reptile.algorithms.execution import LANES
from supervised_reptile.algorithms.inner_loop import Examples
from supervised_reptile.algorithms.learner import Learner
from supervised_reptile.config import NON_TRANSDUCTIVE, TRANSDUCTIVE
from supervised_reptile.data.episodes import Tasks, TaskShape

MODES = (TRANSDUCTIVE, NON_TRANSDUCTIVE)
SHAPE = TaskShape(way=3, shots=2, steps=3, batch=4, queries=2)


def count_slowly(learner: Learner, tasks: Tasks) -> dict[str, list[int]]:
    """Right answers per mode and episode, one forward pass at a time."""
    counts = {mode: [] for mode in MODES}
    for i in range(len(tasks.rows)):
        slow = SlowLearner(learner.problem, *small.flat(learner.state))
        for rows, labels in zip(tasks.rows[i], tasks.labels[i], strict=True):
            slow.inner_step(Batch(small.inputs(rows), labels))

        def guesses(inputs: tuple[np.ndarray, ...], slow: SlowLearner = slow) -> np.ndarray:
            return np.argmax(slow.outputs(slow.weights, inputs), axis=1)

        support, labels = small.inputs(tasks.support_rows[i]), tasks.query_labels[i]
        query_sets = [small.inputs(rows) for rows in tasks.query_rows[i]]
        together = [guesses(queries) for queries in query_sets]
        alone = [
            [guesses(beside(support, queries, i))[-1] for i in range(len(queries[0]))]
            for queries in query_sets
        ]
        counts[TRANSDUCTIVE].append(int(np.sum(together == labels)))
        counts[NON_TRANSDUCTIVE].append(int(np.sum(alone == labels)))
    return counts


def beside(support: tuple, queries: tuple, index: int) -> tuple[np.ndarray, ...]:
    """The support set and one of the queries."""
    return tuple(
        np.concatenate([s, q[index : index + 1]]) for s, q in zip(support, queries, strict=True)
    )


@pytest.fixture(scope="module")
def learner() -> Learner:
    return small.small_learner(small.ADAM)


@pytest.fixture(scope="module")
def tasks() -> Tasks:
    return small.small_tasks(SHAPE, steps=1, tasks=2 * LANES + 3)


def test_right_answers_in_both_modes(learner: Learner, tasks: Tasks) -> None:
    counts = learner.count_correct(small.task_batch(tasks), MODES)
    slow = count_slowly(learner, tasks)
    assert {mode: count.tolist() for mode, count in counts.items()} == slow
    assert slow[TRANSDUCTIVE] != slow[NON_TRANSDUCTIVE]
    assert all(len(set(count)) > 2 for count in slow.values())


def test_evaluation_leaves_the_learner_as_it_was(learner: Learner, tasks: Tasks) -> None:
    before = small.flat(learner.state)
    first = learner.count_correct(small.task_batch(tasks), MODES)
    for value, after in zip(before, small.flat(learner.state), strict=True):
        np.testing.assert_array_equal(value, after)
    again = learner.count_correct(small.task_batch(tasks), MODES)
    for mode in MODES:
        np.testing.assert_array_equal(first[mode], again[mode])


def test_evaluation_starts_from_adams_state(learner: Learner, tasks: Tasks) -> None:
    """With a large second moment Adam hardly moves."""
    moment = learner.second_moment.numpy()
    usual = learner.count_correct(small.task_batch(tasks), MODES)
    learner.second_moment.assign(np.full_like(moment, 1e20))
    frozen, slow = (
        learner.count_correct(small.task_batch(tasks), MODES),
        count_slowly(learner, tasks),
    )
    learner.second_moment.assign(moment)
    for mode in MODES:
        assert frozen[mode].tolist() == slow[mode]
        assert frozen[mode].tolist() != usual[mode].tolist()


def test_episodes_do_not_depend_on_their_neighbours(learner: Learner, tasks: Tasks) -> None:
    together = learner.count_correct(small.task_batch(tasks), MODES)
    for part in (slice(0, 1), slice(1, 7), slice(7, None)):
        some = Tasks(*(array[part] for array in tasks))
        counts = learner.count_correct(small.task_batch(some), MODES)
        for mode in MODES:
            np.testing.assert_array_equal(counts[mode], together[mode][part])


def scores_of(rows: list[int], mode: str) -> np.ndarray:
    """Scores of a query set beside a fixed support set."""
    support = tf.constant([0, 7, 14, 21])
    episode = Episodes(None, support, Examples(tf.constant([rows]), None))
    problem, weights = small.classifier(small.ADAM), small.some_state().weights
    return query_scores(problem, weights, small.TABLE, episode, (mode,))[0][0].numpy()


def test_other_queries_matter_in_transductive_mode_only() -> None:
    one, other = [3, 10, 17], [3, 24, 40]
    same = scores_of(one, NON_TRANSDUCTIVE)[0] - scores_of(other, NON_TRANSDUCTIVE)[0]
    changed = scores_of(one, TRANSDUCTIVE)[0] - scores_of(other, TRANSDUCTIVE)[0]
    np.testing.assert_allclose(same, 0, atol=1e-12)
    assert np.abs(changed).max() > 0.01


def test_the_order_of_the_queries_changes_nothing() -> None:
    for mode in MODES:
        turned = scores_of([17, 10, 3], mode)[::-1]
        np.testing.assert_allclose(scores_of([3, 10, 17], mode), turned, atol=1e-12)


def test_calls_of_any_length_are_traced_once() -> None:
    learner = small.small_learner(small.SGD, "sequential")
    for steps in (3, 1, 7):
        tasks = small.task_batch(small.small_tasks(SHAPE._replace(steps=1), steps, tasks=1))
        tasks = tasks._replace(table=(tf.repeat(tasks.table[0], steps, axis=0),))
        learner.train(tasks, np.full(steps, 0.1))
        assert learner.traces == 1
    for episodes in (2, 1, 4):
        tasks = small.task_batch(small.small_tasks(SHAPE._replace(steps=1), 1, tasks=episodes))
        learner.count_correct(tasks, (TRANSDUCTIVE,))
    assert learner.traces == 2
