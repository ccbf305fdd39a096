"""Learner: the state of a run and its two compiled calls, training and evaluation.

This is the one compiled boundary. Everything inside is pure functions that run eagerly
too (`tf.config.run_functions_eagerly(True)`); everything outside is NumPy and files.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import tensorflow as tf

from supervised_reptile.compiled import AnyLength
from supervised_reptile.evaluate import Episodes, correct_counts
from supervised_reptile.feed import Fed
from supervised_reptile.inner import Examples, InnerState, Problem, Table
from supervised_reptile.outer import TrainingTasks, outer_steps


class Learner:
    """Weights and Adam's state, with the compiled functions that change and judge them."""

    def __init__(
        self,
        problem: Problem,
        weights: np.ndarray,
        task_order: str = "parallel",
    ) -> None:
        """Starts from `weights`, float [P], and Adam's state of the beginning."""
        self.problem = problem
        self._task_order = task_order
        self.weights = tf.Variable(weights, name="weights")
        self.second_moment = tf.Variable(np.zeros_like(weights), name="second_moment")
        self.time = tf.Variable(0, dtype=tf.int64, name="time")
        self._train = AnyLength(self._train_steps, problem.stacked)
        self._counters: dict[tuple[str, ...], AnyLength] = {}  # per transduction modes

    @property
    def traces(self) -> int:
        """How many graphs have been compiled so far."""
        return self._train.traces + sum(counter.traces for counter in self._counters.values())

    @property
    def state(self) -> InnerState:
        """The variables' values now."""
        split = self.problem.grouping.split
        return InnerState(
            split(self.weights.read_value()),
            split(self.second_moment.read_value()),
            self.time.read_value(),
        )

    def train(self, fed: Fed, step_sizes: np.ndarray) -> int:
        """Outer steps, as many as `step_sizes`; `fed` holds the tasks of all of them in a row.

        Returns the number of steps after which the weights were finite; where that is less
        than asked for, training diverged there and the state is of no further use.
        """
        outer, tasks = len(step_sizes), fed.tasks

        def per_step(array: np.ndarray) -> tf.Tensor:
            return _tensor(array.reshape(outer, len(array) // outer, *array.shape[1:]))

        work = TrainingTasks(
            Examples(per_step(tasks.rows), per_step(tasks.labels)),
            Examples(per_step(tasks.tail_rows), per_step(tasks.tail_labels)),
        )
        return int(self._train(fed.table, work, tf.constant(step_sizes, self.weights.dtype)))

    def count_correct(self, fed: Fed, modes: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Right answers in each episode, int32 [episodes], per transduction mode."""
        tasks = fed.tasks
        episodes = Episodes(
            Examples(_tensor(tasks.rows), _tensor(tasks.labels)),
            _tensor(tasks.support_rows),
            Examples(_tensor(tasks.query_rows), _tensor(tasks.query_labels)),
        )
        if modes not in self._counters:
            self._counters[modes] = AnyLength(
                partial(self._count_correct, modes), self.problem.stacked
            )
        counts = self._counters[modes](fed.table, episodes).numpy()
        return dict(zip(modes, counts, strict=True))

    def _train_steps(self, table: Table, work: TrainingTasks, step_sizes: tf.Tensor) -> tf.Tensor:
        state, sound = outer_steps(
            self.problem, self._task_order, self.state, table, (work, step_sizes)
        )
        self.weights.assign(self.problem.grouping.join(state.weights))
        self.second_moment.assign(self.problem.grouping.join(state.second_moment))
        self.time.assign(state.time)
        return sound

    def _count_correct(self, modes: tuple[str, ...], table: Table, episodes: Episodes) -> tf.Tensor:
        return correct_counts(self.problem, self.state, table, episodes, modes)


_tensor = partial(tf.constant, dtype=tf.int32)
