"""The outer loop: what each algorithm makes of adapted weights. Pure functions, no I/O.

Reptile moves the initialization towards the adapted weights (Algorithm 2 of the paper);
joint training is Reptile with one inner step; first-order MAML moves it along the last
inner update alone, whose batch is then called the tail.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from supervised_reptile.inner import (
    Examples,
    InnerState,
    Problem,
    Table,
    adapt,
    inner_step,
    look_up,
)
from supervised_reptile.weights import Weights, all_finite, minus, plus, times, zeros_like

# Tasks computed at the same time. A constant, not the number of cores: it decides the order
# of summation, and results must not depend on the machine.
LANES = 8


class TrainingTasks(NamedTuple):
    """Tasks of outer steps; a tail of 0 examples means none (Reptile, joint training)."""

    batches: Examples  # rows and labels [..., meta_batch, steps, batch]
    tail: Examples  # rows and labels [..., meta_batch, tail]


class TaskResult(NamedTuple):
    """What one task contributes to the outer step."""

    update: Weights
    state: InnerState  # after all its inner steps


def run_task(problem: Problem, start: InnerState, table: Table, task: TrainingTasks) -> TaskResult:
    """Adapt to one task: batches [steps, batch], tail [tail]; its update is (design, 2.12-13)

    adapted - start for Reptile; after the tail - before the tail, weight decay included, for FOML.
    """
    adapted = adapt(problem, start, table, task.batches)
    if task.tail.rows.shape[-1] == 0:
        return TaskResult(minus(adapted.weights, start.weights), adapted)
    inputs = look_up(table, task.tail.rows, start.weights)
    after = inner_step(problem, adapted, inputs, task.tail.labels)
    return TaskResult(minus(after.weights, adapted.weights), after)


def parallel_tasks(
    problem: Problem, start: InnerState, table: Table, tasks: TrainingTasks
) -> TaskResult:
    """The mean over a meta-batch whose tasks all start from `start`, Adam's state included.

    Adam's second moment becomes the mean over tasks, its time advances by one task's steps.
    """
    tail_steps = int(tasks.tail.rows.shape[-1] > 0)
    steps = tf.shape(tasks.batches.rows, out_type=tf.int64)[1] + tail_steps
    mean_of = _mean_of_stack if problem.stacked else _mean_over_lanes
    update, second_moment = mean_of(problem, start, table, tasks)
    return TaskResult(update, InnerState(start.weights, second_moment, start.time + steps))


def _mean_of_stack(
    problem: Problem, start: InnerState, table: Table, tasks: TrainingTasks
) -> tuple[Weights, Weights]:
    """Mean update and second moment, every operation computing for all tasks at once."""

    def contribution(task: TrainingTasks) -> tuple[Weights, Weights]:
        result = run_task(problem, start, table, task)
        return result.update, result.state.second_moment

    stacks = tf.vectorized_map(contribution, tasks, fallback_to_while_loop=False)
    return tf.nest.map_structure(lambda stack: tf.reduce_mean(stack, axis=0), stacks)


def _mean_over_lanes(
    problem: Problem, start: InnerState, table: Table, tasks: TrainingTasks
) -> tuple[Weights, Weights]:
    """Mean update and second moment, tasks side by side on the cores."""
    meta_batch = tasks.batches.rows.shape[0]
    lanes = min(meta_batch, LANES)

    def lane(first: int) -> tuple[Weights, Weights]:
        def body(task, update, second_moment):
            result = run_task(problem, start, table, _pick(tasks, task))
            return (
                task + lanes,
                plus(update, result.update),
                plus(second_moment, result.state.second_moment),
            )

        zeros = zeros_like(start.weights)
        return tf.while_loop(lambda task, *_: task < meta_batch, body, (first, zeros, zeros))[1:]

    def mean(*sums: tf.Tensor) -> tf.Tensor:
        # Stacked and then summed: tf.add_n would add in order of arrival, which no run repeats.
        return tf.reduce_sum(tf.stack(sums), 0) / meta_batch

    return tf.nest.map_structure(mean, *map(lane, range(lanes)))


def sequential_tasks(
    problem: Problem, start: InnerState, table: Table, tasks: TrainingTasks
) -> TaskResult:
    """The mean over a meta-batch in the original's order: Adam's state flows through the tasks."""
    meta_batch = tasks.batches.rows.shape[0]

    def body(task, total):
        result = run_task(problem, total.state, table, _pick(tasks, task))
        state = result.state._replace(weights=start.weights)
        return task + 1, TaskResult(plus(total.update, result.update), state)

    total = TaskResult(zeros_like(start.weights), start)
    total = tf.while_loop(lambda task, _: task < meta_batch, body, (0, total))[1]
    return total._replace(update=times(total.update, 1 / meta_batch))


TASK_ORDERS = {"parallel": parallel_tasks, "sequential": sequential_tasks}


def outer_steps(
    problem: Problem,
    task_order: str,
    start: InnerState,
    table: Table,
    work: tuple[TrainingTasks, tf.Tensor],
) -> tuple[InnerState, tf.Tensor]:
    """Outer steps over `work`: tasks [outer, meta_batch, ...] and outer step sizes [outer].

    Returns the state after them and the number of outer steps after which all weights were
    finite: less than `outer` means that the loss diverged and the state is of no use.
    """
    tasks, step_sizes = work
    run_tasks = TASK_ORDERS[task_order]
    last = tf.shape(step_sizes)[0]

    def body(step, sound, state):
        result = run_tasks(problem, state, table, _pick(tasks, step))
        weights = plus(state.weights, times(result.update, step_sizes[step]))
        sound += tf.cast(all_finite(weights), tf.int32)
        return step + 1, sound, result.state._replace(weights=weights)

    _, sound, state = tf.while_loop(
        lambda step, sound, _: (step < last) & (sound == step), body, (0, 0, start)
    )
    return state, sound


def _pick(tasks: TrainingTasks, index: tf.Tensor) -> TrainingTasks:
    """`tasks` at `index` of their first axis."""
    return tf.nest.map_structure(lambda array: array[index], tasks)
