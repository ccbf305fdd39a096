"""The tasks of a meta-batch: their mean update, and what becomes of Adam's state meanwhile.

The original program adapts to one task after the other while Adam's second moment flows through
them (`sequential`). `parallel` and `chained` start all of them from the same state, so that they
can be computed at the same time.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from supervised_reptile.algorithms.execution import Execution, SideBySide, cut, task_count
from supervised_reptile.algorithms.inner_loop import ADAM_BETA2, InnerState, InputTable, Problem
from supervised_reptile.algorithms.outer_loop import TaskResult, TrainingTasks, run_tasks
from supervised_reptile.algorithms.workers import ONE_PROCESS, Workers
from supervised_reptile.networks.shapes import size
from supervised_reptile.networks.weights import Weights, plus, times, zeros_like


class MetaBatch(NamedTuple):
    """What runs the tasks of a meta-batch; fixed for a whole run."""

    problem: Problem
    task_order: str = "chained"  # a key of TASK_ORDERS
    second_order: bool = False  # MAML
    execution: Execution = SideBySide()
    workers: Workers = ONE_PROCESS  # whose shares make the meta-batch

    def __call__(self, start: InnerState, table: InputTable, tasks: TrainingTasks) -> TaskResult:
        """The mean update over the meta-batch, and Adam's state after it.

        `tasks` are this worker's share of the meta-batch, which may be none.
        """
        return TASK_ORDERS[self.task_order](self, start, table, tasks)

    def run(self, start: InnerState, table: InputTable, tasks: TrainingTasks) -> list[TaskResult]:
        """What each of some tasks contributes, all from `start`."""
        return run_tasks(self.problem, start, table, tasks, self.second_order)


def parallel(
    batch: MetaBatch, start: InnerState, table: InputTable, tasks: TrainingTasks
) -> TaskResult:
    """Adam's second moment becomes the mean over tasks; its time advances by one task's steps."""
    return _means(batch, start, table, tasks)[0]


def chained(
    batch: MetaBatch, start: InnerState, table: InputTable, tasks: TrainingTasks
) -> TaskResult:
    """Adam's state goes on as if the tasks had followed each other.

    One task of k steps makes v into b^k v + what its gradients add, b being Adam's beta2; after a
    meta-batch of m it is b^(mk) v + the sum over i < m of b^(ik) times the mean of what they
    add. So v forgets as fast as in the original.
    """
    result, meta_batch = _means(batch, start, table, tasks)
    steps = result.state.time - start.time
    time = start.time + steps * tf.cast(meta_batch, tf.int64)
    if batch.problem.rule.sgd:
        return result._replace(state=result.state._replace(time=time))
    dtype = start.weights[0].dtype
    once = tf.pow(tf.constant(ADAM_BETA2, tf.float64), tf.cast(steps, tf.float64))
    always = tf.pow(once, tf.cast(meta_batch, tf.float64))
    times_added = tf.cast((1 - always) / (1 - once), dtype)
    once, always = tf.cast(once, dtype), tf.cast(always, dtype)
    second_moment = tuple(  # what was added is not negative but for rounding
        always * v + times_added * tf.maximum(mean - once * v, tf.zeros([], dtype))
        for v, mean in zip(start.second_moment, result.state.second_moment, strict=True)
    )
    return result._replace(state=InnerState(start.weights, second_moment, time))


def sequential(
    batch: MetaBatch, start: InnerState, table: InputTable, tasks: TrainingTasks
) -> TaskResult:
    """Adam's state flows through the tasks, which wait for each other."""
    meta_batch = task_count(tasks)

    def body(task, total):
        (result,) = batch.run(total.state, table, cut(tasks, task, 1))
        state = result.state._replace(weights=start.weights)
        return task + 1, TaskResult(plus(total.update, result.update), state)

    total = TaskResult(zeros_like(start.weights), start)
    total = tf.while_loop(lambda task, _: task < meta_batch, body, (0, total))[1]
    return total._replace(update=times(total.update, 1 / meta_batch))


TASK_ORDERS = {"chained": chained, "parallel": parallel, "sequential": sequential}


def _means(
    batch: MetaBatch, start: InnerState, table: InputTable, tasks: TrainingTasks
) -> tuple[TaskResult, tf.Tensor | int]:
    """Means over the meta-batch of all workers, after one task's steps, and how large it is."""

    def contributions(some: TrainingTasks) -> list[tuple[Weights, Weights]]:
        results = batch.run(start, table, some)
        return [(result.update, result.state.second_moment) for result in results]

    zeros = zeros_like(start.weights)
    sums = batch.execution.sum_over_tasks(contributions, tasks, (zeros, zeros))
    if batch.problem.rule.sgd:  # which has no second moment: half as much to exchange
        (update,), meta_batch = batch.workers.mean(sums[:1], task_count(tasks))
        second_moment = start.second_moment
    else:
        (update, second_moment), meta_batch = batch.workers.mean(sums, task_count(tasks))
    tail_steps = int(size(tasks.tail.rows, -1) > 0)
    steps = tf.shape(tasks.batches.rows, out_type=tf.int64)[1] + tail_steps
    state = InnerState(start.weights, second_moment, start.time + steps)
    return TaskResult(update, state), meta_batch
