"""Workers: the processes that share every meta-batch and evaluation of a run.

All of them run the same program on the same data; what each finds for its share of the tasks is
added up. The sum is bit-identical on all of them, so that their weights stay the same. One process
by itself is the only worker, whose sum is its own.
"""

from __future__ import annotations

from itertools import chain

import numpy as np
import tensorflow as tf

from supervised_reptile.networks.shapes import size
from supervised_reptile.networks.weights import Weights, times

_GROUP_KEY = 180_302_999  # any number that TensorFlow's strategy, which counts from 1, leaves


class Workers:
    """The workers of a run, and which of them this process is.

    All of them must call what adds up in the same order: `mean` in a graph after `next_call`, and
    `sum` and `from_first` outside of graphs.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        # Distinguishes one sum from the next. A variable, so that it is not part of the graphs.
        self._key = tf.Variable(tf.constant(0, tf.int64)) if size > 1 else None

    def share(self, count: int) -> range:
        """Which of `count` tasks or episodes are this worker's; maybe none."""
        return range(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def next_call(self) -> None:
        """Announces a call of a graph that adds up."""
        if self._key is not None:
            self._key.assign_add(1)

    def mean(
        self, sums: tuple[Weights, ...], count: int
    ) -> tuple[tuple[Weights, ...], tf.Tensor | int]:
        """Turns sums over this worker's `count` tasks into means over all workers' tasks.

        Also returns the number of these, a whole number of whatever type.
        """
        if self.size == 1:
            return tuple(times(part, 1 / count) for part in sums), count
        vectors = list(chain.from_iterable(sums))
        own = tf.constant([count], vectors[0].dtype)
        sizes = [size(vector) for vector in vectors]
        *totals, tasks = tf.split(self._add_up(tf.concat([*vectors, own], 0)), [*sizes, 1])
        return tf.nest.pack_sequence_as(sums, times(tuple(totals), 1 / tasks)), tasks[0]

    def sum(self, array: np.ndarray) -> np.ndarray:
        """The sum of all workers' arrays, of the same shape."""
        if self.size == 1:
            return array
        self.next_call()
        return self._add_up(tf.constant(array)).numpy()

    def from_first(self, array: np.ndarray) -> np.ndarray:
        """The first worker's array; the others give one of the same shape."""
        return self.sum(array if self.rank == 0 else np.zeros_like(array))

    def _add_up(self, tensor: tf.Tensor) -> tf.Tensor:
        """The sum of all workers' tensors.

        tf.distribute's own reductions are refused inside loops; this operation, which they stand
        on, distinguishes the passes of a loop by itself. It has no time limit: the others wait
        while the first saves, and a dead worker is found by its missing heartbeat.
        """
        assert self._key is not None  # one process by itself has nothing to add
        return tf.raw_ops.CollectiveReduceV2(
            input=tensor,
            group_size=self.size,
            group_key=_GROUP_KEY,
            instance_key=tf.cast(self._key, tf.int32),
            ordering_token=[],
            merge_op="Add",
            final_op="Id",
            communication_hint="ring",
        )


ONE_PROCESS = Workers()
