"""How independent tasks and episodes are computed; the results are the same.

`SideBySide` is for processors: many small operations, so one thread per task beats several threads
per convolution. `Stacked` is for accelerators: every operation computes for all tasks at once.
Whoever makes a `Learner` chooses; no other module distinguishes the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import tensorflow as tf

from supervised_reptile.networks.shapes import size
from supervised_reptile.system.start_tensorflow import threads

# Tasks computed at the same time. A constant, not the number of cores: it decides the order
# of summation, and results must not depend on the machine.
LANES = 8

Nested = Any  # nested tuples of tensors


class Execution(Protocol):
    """How independent computations are carried out."""

    def sum_over_tasks(
        self, results: Callable[[Nested], list[Nested]], tasks: Nested, zeros: Nested
    ) -> Nested:
        """The sum of `results(some tasks)`, one result per task, over all tasks.

        zeros: a result whose tensors are all 0, the sum over no tasks.
        """
        ...

    def map(
        self, function: Callable[[Nested], tf.Tensor], inputs: Nested, dtype: tf.DType
    ) -> tf.Tensor:
        """The stack of `function` of each of `inputs` along their first axis."""
        ...

    def map_episodes(
        self, function: Callable[[Nested], tf.Tensor], episodes: Nested, outputs: int
    ) -> tf.Tensor:
        """As `map`, for a `function` that adapts; int32 [episodes, outputs]."""
        ...


class SideBySide:
    """On the cores of a processor, each task or episode on one of them."""

    def sum_over_tasks(
        self, results: Callable[[Nested], list[Nested]], tasks: Nested, zeros: Nested
    ) -> Nested:
        """Up to LANES tasks at a time."""
        full, rest = divmod(task_count(tasks), LANES)

        def add(total: Nested, some: Nested) -> Nested:
            # Stacked and then summed: tf.add_n would add in order of arrival, which no run repeats.
            sums = tf.nest.map_structure(
                lambda *terms: tf.reduce_sum(tf.stack(terms), axis=0), *results(some)
            )
            return tf.nest.map_structure(tf.add, total, sums)

        total = zeros
        if full:
            total = tf.while_loop(
                lambda lane, _: lane < full,
                lambda lane, total: (lane + 1, add(total, cut(tasks, lane * LANES, LANES))),
                (0, total),
            )[1]
        return add(total, cut(tasks, full * LANES, rest)) if rest else total

    def map(
        self, function: Callable[[Nested], tf.Tensor], inputs: Nested, dtype: tf.DType
    ) -> tf.Tensor:
        """One after the other: what they are part of runs side by side already."""
        return tf.map_fn(function, inputs, fn_output_signature=dtype, parallel_iterations=1)

    def map_episodes(
        self, function: Callable[[Nested], tf.Tensor], episodes: Nested, outputs: int
    ) -> tf.Tensor:
        """In one lane more than threads, so that no thread waits."""
        total = tf.shape(tf.nest.flatten(episodes)[0])[0]
        function = tf.function(function, autograph=False)  # traced once, not for every lane
        lanes = 1 + threads()  # no result depends on their number

        def lane(first: int) -> tf.Tensor:
            def body(index, found):
                result = function(pick(episodes, index))
                return index + lanes, tf.tensor_scatter_nd_update(found, [[index]], result[None])

            found = tf.zeros([total, outputs], tf.int32)
            return tf.while_loop(lambda index, _: index < total, body, (first, found))[1]

        return tf.reduce_sum(tf.stack([lane(i) for i in range(lanes)]), axis=0)


class Stacked:
    """As one stack, in a program that XLA compiles. It cannot be differentiated (MAML)."""

    def sum_over_tasks(
        self, results: Callable[[Nested], list[Nested]], tasks: Nested, zeros: Nested
    ) -> Nested:
        """All tasks at once, compiled even where what is around it cannot be (several workers)."""
        if not task_count(tasks):
            return zeros

        def of_one(task: Nested) -> Nested:
            return results(tf.nest.map_structure(lambda array: array[None], task))[0]

        def stacked() -> Nested:
            stacks = tf.vectorized_map(of_one, tasks, fallback_to_while_loop=False)
            return tf.nest.map_structure(lambda stack: tf.reduce_sum(stack, axis=0), stacks)

        return tf.function(stacked, autograph=False, jit_compile=True)()

    def map(
        self, function: Callable[[Nested], tf.Tensor], inputs: Nested, dtype: tf.DType
    ) -> tf.Tensor:
        """All inputs at once."""
        return tf.vectorized_map(function, inputs, fallback_to_while_loop=False)

    def map_episodes(
        self, function: Callable[[Nested], tf.Tensor], episodes: Nested, outputs: int
    ) -> tf.Tensor:
        """All episodes at once."""
        return tf.vectorized_map(function, episodes, fallback_to_while_loop=False)


def task_count(tasks: Nested) -> int:
    """The length of the first axis of `tasks`, which must be known."""
    return size(tf.nest.flatten(tasks)[0])


def pick(tasks: Nested, index: tf.Tensor | int) -> Nested:
    """`tasks` at `index` of their first axis."""
    return tf.nest.map_structure(lambda array: array[index], tasks)


def cut(tasks: Nested, first: tf.Tensor | int, count: int) -> Nested:
    """`count` of `tasks` from `first` on, along their first axis."""
    return tf.nest.map_structure(
        lambda array: tf.ensure_shape(array[first : first + count], [count, *array.shape[1:]]),
        tasks,
    )
