"""The outer loop: what each algorithm makes of adapted weights. Pure functions, no I/O.

Reptile moves the initialization towards the adapted weights (Algorithm 2 of the paper);
joint training is Reptile with one inner step; first-order MAML moves it along the last
inner update alone, whose batch is then called the tail; MAML takes that update back through
the inner steps before it.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import tensorflow as tf

from supervised_reptile.group import ALONE, Group
from supervised_reptile.inner import (
    ADAM_BETA2,
    Examples,
    InnerState,
    Problem,
    Table,
    adapt,
    adapt_all,
    inner_step,
    look_up,
)
from supervised_reptile.outer_optimizers import OPTIMIZERS, Memory
from supervised_reptile.runtime import threads
from supervised_reptile.shapes import size
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

    adapted - start for Reptile; after the tail - before the tail, weight decay included, for FOML;
    that times the transposed Jacobian of the inner steps before the tail for MAML, which under SGD
    without decay is -rate times the gradient by `start` of the tail's loss after them.
    """
    if not problem.second_order:
        adapted = adapt(problem, start, table, task.batches)
        return _after_adapting(problem, start, adapted, table, task.tail)
    with tf.GradientTape() as tape:
        tape.watch(start.weights)
        adapted = adapt(problem, start, table, task.batches)
    update, after = _after_adapting(problem, start, adapted, table, task.tail)
    gradient = tape.gradient(adapted.weights, start.weights, output_gradients=list(update))
    return TaskResult(cast(Weights, gradient), after)  # in the stubs a list, maybe sparse


def _after_adapting(
    problem: Problem, start: InnerState, adapted: InnerState, table: Table, tail: Examples
) -> TaskResult:
    """The first-order update of a task, tail [tail], that `start` was adapted to."""
    if tail.rows.shape[-1] == 0:
        return TaskResult(minus(adapted.weights, start.weights), adapted)
    inputs = look_up(table, tail.rows, start.weights)
    after = inner_step(problem, adapted, inputs, tail.labels)
    return TaskResult(minus(after.weights, adapted.weights), after)


def parallel_tasks(
    problem: Problem,
    start: InnerState,
    table: Table,
    tasks: TrainingTasks,
    group: Group = ALONE,
) -> TaskResult:
    """The mean over a meta-batch whose tasks all start from `start`, Adam's state included.

    Adam's second moment becomes the mean over tasks, its time advances by one task's steps.
    `tasks` are this worker's share of the meta-batch, which may be none.
    """
    return _means(problem, start, table, tasks, group)[0]


def chained_tasks(
    problem: Problem,
    start: InnerState,
    table: Table,
    tasks: TrainingTasks,
    group: Group = ALONE,
) -> TaskResult:
    """As `parallel_tasks`, but Adam's state becomes what it is after one task upon the other.

    One task of k steps makes v into b^k v + what its gradients add, b being Adam's beta2; after a
    meta-batch of m it is b^(mk) v + the sum over i < m of b^(ik) times the mean of what they
    add. So v forgets as fast as in the original, where tasks follow each other.
    """
    result, meta_batch = _means(problem, start, table, tasks, group)
    steps = result.state.time - start.time
    time = start.time + steps * tf.cast(meta_batch, tf.int64)
    if problem.rule.sgd:
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


def _means(
    problem: Problem, start: InnerState, table: Table, tasks: TrainingTasks, group: Group
) -> tuple[TaskResult, tf.Tensor | int]:
    """Means over the meta-batch of all workers, after one task's steps, and how large it is."""
    tail_steps = int(size(tasks.tail.rows, -1) > 0)
    steps = tf.shape(tasks.batches.rows, out_type=tf.int64)[1] + tail_steps
    sums = _sums(problem, start, table, tasks, group.size > 1)
    if problem.rule.sgd:  # which has no second moment: half as much to exchange
        (update,), meta_batch = group.mean(sums[:1], _count(tasks))
        second_moment = start.second_moment
    else:
        (update, second_moment), meta_batch = group.mean(sums, _count(tasks))
    state = InnerState(start.weights, second_moment, start.time + steps)
    return TaskResult(update, state), meta_batch


def _sums(
    problem: Problem, start: InnerState, table: Table, tasks: TrainingTasks, compile: bool
) -> tuple[Weights, Weights]:
    """Sums of the updates and second moments of some tasks.

    `compile`: by XLA, where tasks are stacked and what is around this cannot be.
    """
    if not problem.stacked or not _count(tasks):
        return _sums_over_lanes(problem, start, table, tasks)

    def stacked() -> tuple[Weights, Weights]:
        return _sums_of_stack(problem, start, table, tasks)

    return tf.function(stacked, autograph=False, jit_compile=True)() if compile else stacked()


def _sums_of_stack(
    problem: Problem, start: InnerState, table: Table, tasks: TrainingTasks
) -> tuple[Weights, Weights]:
    """Sums over tasks, every operation computing for all of them at once."""

    def contribution(task: TrainingTasks) -> tuple[Weights, Weights]:
        result = run_task(problem, start, table, task)
        return result.update, result.state.second_moment

    stacks = tf.vectorized_map(contribution, tasks, fallback_to_while_loop=False)
    return tf.nest.map_structure(lambda stack: tf.reduce_sum(stack, axis=0), stacks)


def _sums_over_lanes(
    problem: Problem, start: InnerState, table: Table, tasks: TrainingTasks
) -> tuple[Weights, Weights]:
    """Sums over tasks, of which up to LANES at a time run side by side on the cores."""
    full, rest = divmod(_count(tasks), LANES)

    def add(total: tuple[Weights, Weights], some: TrainingTasks) -> tuple[Weights, Weights]:
        sums = _sums_side_by_side(problem, start, table, some)
        return plus(total[0], sums[0]), plus(total[1], sums[1])

    def body(group, total):
        first = group * LANES
        return group + 1, add(total, _slice(tasks, first, LANES))

    total = (zeros_like(start.weights), zeros_like(start.weights))
    if full:
        total = tf.while_loop(lambda group, _: group < full, body, (0, total))[1]
    return add(total, _slice(tasks, full * LANES, rest)) if rest else total


def _sums_side_by_side(
    problem: Problem, start: InnerState, table: Table, tasks: TrainingTasks
) -> tuple[Weights, Weights]:
    """Sums of the updates and second moments of a few tasks."""
    each = [_pick(tasks, task) for task in range(_count(tasks))]
    if problem.second_order:
        results = [run_task(problem, start, table, task) for task in each]
    else:
        results = [
            _after_adapting(problem, start, adapted, table, task.tail)
            for task, adapted in zip(
                each, adapt_all(problem, start, table, tasks.batches, threads()), strict=True
            )
        ]
    # Stacked and then summed: tf.add_n would add in order of arrival, which no run repeats.
    return tuple(
        tf.nest.map_structure(lambda *terms: tf.reduce_sum(tf.stack(terms), 0), *terms)
        for terms in zip(*((r.update, r.state.second_moment) for r in results), strict=True)
    )


def sequential_tasks(
    problem: Problem,
    start: InnerState,
    table: Table,
    tasks: TrainingTasks,
    group: Group = ALONE,
) -> TaskResult:
    """The mean over a meta-batch in the original's order: Adam's state flows through the tasks.

    Every task waits for the one before it, so that there is nothing for a group to share.
    """
    assert group.size == 1
    meta_batch = _count(tasks)

    def body(task, total):
        result = run_task(problem, total.state, table, _pick(tasks, task))
        state = result.state._replace(weights=start.weights)
        return task + 1, TaskResult(plus(total.update, result.update), state)

    total = TaskResult(zeros_like(start.weights), start)
    total = tf.while_loop(lambda task, _: task < meta_batch, body, (0, total))[1]
    return total._replace(update=times(total.update, 1 / meta_batch))


TASK_ORDERS = {
    "chained": chained_tasks,
    "parallel": parallel_tasks,
    "sequential": sequential_tasks,
}


class OuterState(NamedTuple):
    """What outer steps change."""

    inner: InnerState
    memory: Memory
    time: tf.Tensor  # scalar int64: outer steps taken so far


class OuterRule(NamedTuple):
    """How an outer step runs its tasks, and what it makes of their updates."""

    task_order: str = "chained"  # a key of TASK_ORDERS
    optimizer: str = "sgd"  # a key of OPTIMIZERS
    group: Group = ALONE  # whose shares make the meta-batch


def outer_steps(
    problem: Problem,
    rule: OuterRule,
    start: OuterState,
    table: Table,
    work: tuple[TrainingTasks, tf.Tensor],
    count: tf.Tensor | None = None,
) -> tuple[OuterState, tf.Tensor]:
    """Outer steps over `work`: tasks [outer, meta_batch, ...] and outer step sizes [outer].

    Only the first `count` of them, if it is given; the rest is padding then.

    Returns the state after them and the number of outer steps after which all of it was
    finite: less than asked for means that the loss diverged and the state is of no use.
    """
    tasks, step_sizes = work
    run_tasks, optimizer = TASK_ORDERS[rule.task_order], OPTIMIZERS[rule.optimizer]
    last = tf.shape(step_sizes)[0] if count is None else count

    def body(step, sound, state):
        result = run_tasks(problem, state.inner, table, _pick(tasks, step), rule.group)
        rate = step_sizes[step]
        moved, memory = optimizer.step(state.memory, result.update, rate, state.time)
        weights = plus(state.inner.weights, moved)
        inner = result.state._replace(weights=weights)
        numbers = (*weights, *inner.second_moment)
        sound += tf.cast(all_finite(sum(memory, numbers)), tf.int32)
        return step + 1, sound, OuterState(inner, memory, state.time + 1)

    _, sound, state = tf.while_loop(
        lambda step, sound, _: (step < last) & (sound == step), body, (0, 0, start)
    )
    return state, sound


def _count(tasks: TrainingTasks) -> int:
    """How many tasks these are."""
    return size(tasks.batches.rows)


def _pick(tasks: TrainingTasks, index: tf.Tensor | int) -> TrainingTasks:
    """`tasks` at `index` of their first axis."""
    return tf.nest.map_structure(lambda array: array[index], tasks)


def _slice(tasks: TrainingTasks, first: tf.Tensor | int, count: int) -> TrainingTasks:
    """`count` of `tasks` from `first` on, along their first axis."""

    def cut(array: tf.Tensor) -> tf.Tensor:
        part = array[first : first + count]
        return tf.ensure_shape(part, [count, *array.shape[1:]])

    return tf.nest.map_structure(cut, tasks)
