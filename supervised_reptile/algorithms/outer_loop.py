"""The outer loop, Algorithm 2 of the paper. Pure functions, no I/O.

    initialize the weights phi
    for each outer step:
        sample tasks
        for each task: adapt, which gives weights W            `run_tasks`, `inner.adapt_all`
        phi <- phi + outer step size * mean over tasks (W - phi)               `outer_steps`

That is Reptile; joint training is Reptile with one inner step. First-order MAML has the last inner
update alone, whose batch is called the tail, in place of W - phi. MAML takes that update back
through the inner steps before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from supervised_reptile.algorithms.execution import pick, task_count
from supervised_reptile.algorithms.inner_loop import (
    Examples,
    InnerState,
    InputTable,
    Problem,
    adapt_all,
    inner_step,
    look_up,
)
from supervised_reptile.algorithms.outer_optimizers import OptimizerState, OuterOptimizer
from supervised_reptile.networks.weights import Weights, all_finite, minus, plus


class TrainingTasks(NamedTuple):
    """Tasks of outer steps; a tail of 0 examples means none (Reptile, joint training)."""

    batches: Examples  # rows and labels [..., meta_batch, steps, batch]
    tail: Examples  # rows and labels [..., meta_batch, tail]


class TaskResult(NamedTuple):
    """What a task, or a meta-batch of them, contributes to the outer step."""

    update: Weights
    state: InnerState  # after all inner steps


class OuterState(NamedTuple):
    """What outer steps change."""

    inner: InnerState
    optimizer: OptimizerState
    time: tf.Tensor  # scalar int64: outer steps taken so far


# (start, table, tasks [meta_batch, ...]) -> the mean update, and Adam's state after the meta-batch
RunMetaBatch = Callable[[InnerState, InputTable, TrainingTasks], TaskResult]


def outer_steps(
    run_meta_batch: RunMetaBatch,
    optimizer: OuterOptimizer,
    start: OuterState,
    table: InputTable,
    work: tuple[TrainingTasks, tf.Tensor],
    count: tf.Tensor | None = None,
) -> tuple[OuterState, tf.Tensor]:
    """Outer steps over `work`: tasks [outer, meta_batch, ...] and outer step sizes [outer].

    Only the first `count` of them, if it is given; the rest is padding then.

    Returns the state after them and the number of outer steps after which all of it was
    finite: less than asked for means that the loss diverged and the state is of no use.
    """
    tasks, step_sizes = work
    last = tf.shape(step_sizes)[0] if count is None else count

    def body(step, finite_steps, state):
        update, inner = run_meta_batch(state.inner, table, pick(tasks, step))
        moved, memory = optimizer.step(state.optimizer, update, step_sizes[step], state.time)
        weights = plus(state.inner.weights, moved)
        inner = inner._replace(weights=weights)
        finite = all_finite(sum(memory, (*weights, *inner.second_moment)))
        state = OuterState(inner, memory, state.time + 1)
        return step + 1, finite_steps + tf.cast(finite, tf.int32), state

    _, finite_steps, state = tf.while_loop(
        lambda step, finite_steps, _: (step < last) & (finite_steps == step), body, (0, 0, start)
    )
    return state, finite_steps


def run_tasks(
    problem: Problem,
    start: InnerState,
    table: InputTable,
    tasks: TrainingTasks,
    second_order: bool = False,
) -> list[TaskResult]:
    """Adapt to each of some tasks from `start`: batches [tasks, steps, batch], tail [tasks, tail].

    A task's update is W - phi for Reptile; for FOML, weights after the tail - weights before the
    tail, weight decay included (section 2 of the paper); for MAML (`second_order`) that times the
    transposed Jacobian of the inner steps before the tail, which under SGD without decay is
    -learning rate times the gradient by phi of the tail's loss after them.
    """
    count = task_count(tasks)
    if not second_order:
        adapted = adapt_all(problem, [start] * count, table, tasks.batches)
        return _first_order_results(problem, start, adapted, table, tasks.tail)
    starts = [start._replace(weights=tuple(map(tf.identity, start.weights))) for _ in range(count)]
    with tf.GradientTape() as tape:
        tape.watch([task.weights for task in starts])
        adapted = adapt_all(problem, starts, table, tasks.batches)
    results = _first_order_results(problem, start, adapted, table, tasks.tail)
    gradient: Any = tape.gradient  # whose stubs know nothing of nested lists
    updates = gradient(
        [state.weights for state in adapted],
        [task.weights for task in starts],
        output_gradients=[result.update for result in results],
    )
    return [result._replace(update=update) for result, update in zip(results, updates, strict=True)]


def _first_order_results(
    problem: Problem,
    start: InnerState,
    adapted: list[InnerState],
    table: InputTable,
    tails: Examples,  # [tasks, tail]
) -> list[TaskResult]:
    if tails.rows.shape[-1] == 0:
        return [TaskResult(minus(state.weights, start.weights), state) for state in adapted]
    results = []
    for task, state in enumerate(adapted):
        tail = pick(tails, task)
        after = inner_step(problem, state, look_up(table, tail.rows, start.weights), tail.labels)
        results.append(TaskResult(minus(after.weights, state.weights), after))
    return results
