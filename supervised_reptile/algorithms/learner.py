"""Learner: the state of a run and its compiled calls: training, evaluation, alignment.

This is the one compiled boundary. Everything inside is pure functions that run eagerly
too (`tf.config.run_functions_eagerly(True)`); everything outside is NumPy and files.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import tensorflow as tf

from supervised_reptile.algorithms.compiled import AnyLength
from supervised_reptile.algorithms.evaluate import Episodes, correct_counts
from supervised_reptile.algorithms.gradients import gradient_products
from supervised_reptile.algorithms.image_feed import TaskBatch
from supervised_reptile.algorithms.inner_loop import Examples, InnerState, InputTable
from supervised_reptile.algorithms.meta_batch import MetaBatch
from supervised_reptile.algorithms.outer_loop import OuterState, TrainingTasks, outer_steps
from supervised_reptile.algorithms.outer_optimizers import OPTIMIZERS


class Learner:
    """Weights and the optimizers' states, with the functions that change and judge them."""

    def __init__(
        self,
        meta_batch: MetaBatch,
        weights: np.ndarray,
        outer_optimizer: str = "sgd",
        xla: bool = False,
        call_length: int = 0,
    ) -> None:
        """Starts from `weights`, float [P], and the optimizers' states of the beginning.

        xla: compile every call as one XLA program.
        call_length: outer steps that shorter calls of `train` are filled up to with idle ones, so
          that XLA, which compiles anew for every length, has to compile once.
        """
        self.meta_batch = meta_batch
        self.problem = meta_batch.problem
        self.workers = meta_batch.workers
        self._execution = meta_batch.execution
        self._xla = xla
        self._call_length = call_length
        self._optimizer = OPTIMIZERS[outer_optimizer]
        self.weights = tf.Variable(tf.constant(weights), name="weights")
        self.second_moment = tf.Variable(tf.zeros_like(weights), name="second_moment")
        self.time = tf.Variable(tf.constant(0, tf.int64), name="time")
        self._optimizer_state = {
            name: tf.Variable(tf.zeros_like(weights), name=f"outer_{name}")
            for name in self._optimizer.state
        }
        self._outer_time = tf.Variable(tf.constant(0, tf.int64), name="outer_time")
        # XLA cannot compile what waits for others.
        self._train = AnyLength(self._train_steps, xla and self.workers.size == 1)
        self._products = AnyLength(self._gradient_products, xla)
        self._counters: dict[tuple[str, ...], AnyLength] = {}  # per transduction modes

    @property
    def traces(self) -> int:
        """How many graphs have been compiled so far."""
        graphs = (self._train, self._products, *self._counters.values())
        return sum(graph.traces for graph in graphs)

    @property
    def state(self) -> InnerState:
        """The variables' values now."""
        split = self.problem.grouping.split
        return InnerState(
            split(self.weights.read_value()),
            split(self.second_moment.read_value()),
            self.time.read_value(),
        )

    @property
    def outer_state(self) -> OuterState:
        """`state`, and what the outer optimizer keeps."""
        split = self.problem.grouping.split
        optimizer = tuple(split(value.read_value()) for value in self._optimizer_state.values())
        return OuterState(self.state, optimizer, self._outer_time.read_value())

    @property
    def outer_variables(self) -> dict[str, tf.Variable]:
        """What the outer optimizer keeps, to be saved with the weights; nothing for SGD."""
        state = {f"outer_{name}": value for name, value in self._optimizer_state.items()}
        return {**state, "outer_time": self._outer_time} if state else {}

    def take_from_first_worker(self) -> None:
        """Start from the first worker's state."""
        inner = (self.weights, self.second_moment, self.time)
        for variable in (*inner, *self._optimizer_state.values(), self._outer_time):
            variable.assign(self.workers.from_first(variable.numpy()))

    def train(self, batch: TaskBatch, step_sizes: np.ndarray) -> int:
        """Outer steps, as many as `step_sizes`; `batch` holds the tasks of all of them in a row.

        With several workers, `batch` is this worker's share of each meta-batch, and all call it.

        Returns the number of steps after which all of the state was finite; where that is less
        than asked for, training diverged there and the state is of no further use.
        """
        outer, tasks = len(step_sizes), batch.tasks

        def per_step(array: np.ndarray) -> tf.Tensor:
            steps = array.reshape(outer, len(array) // outer, *array.shape[1:])
            return _tensor(self._filled_up(steps))

        work = TrainingTasks(
            Examples(per_step(tasks.rows), per_step(tasks.labels)),
            Examples(per_step(tasks.tail_rows), per_step(tasks.tail_labels)),
        )
        sizes = tf.constant(self._filled_up(step_sizes), self.weights.dtype)
        self.workers.next_call()
        return int(self._train(batch.table, work, sizes, tf.constant(outer)))

    def _filled_up(self, steps: np.ndarray) -> np.ndarray:
        """`steps` [outer, ...] with zeros up to the length of a call."""
        missing = self._call_length - len(steps)
        if missing <= 0:
            return steps
        return np.concatenate([steps, np.zeros((missing, *steps.shape[1:]), steps.dtype)])

    def count_correct(self, batch: TaskBatch, modes: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Right answers in each episode, int32 [episodes], per transduction mode."""
        tasks = batch.tasks
        episodes = Episodes(
            Examples(_tensor(tasks.rows), _tensor(tasks.labels)),
            _tensor(tasks.support_rows),
            Examples(_tensor(tasks.query_rows), _tensor(tasks.query_labels)),
        )
        if modes not in self._counters:
            self._counters[modes] = AnyLength(partial(self._count_correct, modes), self._xla)
        counts = self._counters[modes](batch.table, episodes).numpy()
        return dict(zip(modes, counts, strict=True))

    def gradient_products(self, batch: TaskBatch) -> np.ndarray:
        """Products and cosines of gradients at the weights of now: see `gradients`.

        `batch` holds tasks of two inner batches each; returns float [2, tasks, tasks].
        """
        batches = Examples(_tensor(batch.tasks.rows), _tensor(batch.tasks.labels))
        return self._products(batch.table, batches).numpy()

    def _train_steps(
        self, table: InputTable, tasks: TrainingTasks, step_sizes: tf.Tensor, count: tf.Tensor
    ) -> tf.Tensor:
        state, finite_steps = outer_steps(
            self.meta_batch,
            self._optimizer,
            self.outer_state,
            table,
            (tasks, step_sizes),
            count,
        )
        join = self.problem.grouping.join
        self.weights.assign(join(state.inner.weights))
        self.second_moment.assign(join(state.inner.second_moment))
        self.time.assign(state.inner.time)
        for variable, value in zip(self._optimizer_state.values(), state.optimizer, strict=True):
            variable.assign(join(value))
        self._outer_time.assign(state.time)
        return finite_steps

    def _count_correct(
        self, modes: tuple[str, ...], table: InputTable, episodes: Episodes
    ) -> tf.Tensor:
        return correct_counts(self.problem, self.state, table, episodes, modes, self._execution)

    def _gradient_products(self, table: InputTable, batches: Examples) -> tf.Tensor:
        weights = self.state.weights
        return gradient_products(self.problem, weights, table, batches, self._execution)


def _tensor(array: np.ndarray) -> tf.Tensor:
    """Numbers of rows and classes as int32, the labels of regression as they are."""
    return tf.constant(array, tf.int32 if array.dtype.kind in "iu" else None)
