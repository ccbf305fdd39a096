"""Group: the workers of one run, which all run the same program, and what they tell each other.

Each takes its share of a meta-batch or of evaluation episodes; sums over all of them are
all-reduced (TensorFlow's collective operations, rings over gRPC) and so the same to the last bit
everywhere. One process by itself is a group as well, and has nobody to wait for.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from itertools import chain

import numpy as np
import tensorflow as tf

from supervised_reptile.errors import UserError
from supervised_reptile.networks.shapes import size
from supervised_reptile.networks.weights import Weights, times
from supervised_reptile.system.tf_config import Cluster, rings

_FIRST_RING = 180_302_999  # any number that TensorFlow's strategy, which counts from 1, leaves


class Group:
    """The workers that train together; which of them this process is.

    All of them must call what exchanges something in the same order: `mean` in a graph after
    `next_call`, and `sum`, `maximum`, `broadcast` and `broadcast_text` outside of graphs.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        # Tells exchanges apart. A variable, so that it is not part of the graphs.
        self._key = tf.Variable(tf.constant(0, tf.int64)) if size > 1 else None
        self._rings = _own_rings(rank, rings(size))

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.rank == 0

    def share(self, count: int) -> range:
        """Which of `count` tasks or episodes are this worker's; maybe none."""
        return range(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def next_call(self) -> None:
        """Announces a call of a graph that exchanges something."""
        if self._key is not None:
            self._key.assign_add(len(self._rings))

    def mean(
        self, sums: tuple[Weights, ...], count: int
    ) -> tuple[tuple[Weights, ...], tf.Tensor | int]:
        """Sums over this worker's `count` tasks become means over all workers' tasks.

        With the number of these; a whole number, whatever its type.
        """
        if self.size == 1:
            return tuple(times(part, 1 / count) for part in sums), count
        vectors = list(chain.from_iterable(sums))
        own = tf.constant([count], vectors[0].dtype)
        sizes = [size(vector) for vector in vectors]
        *totals, tasks = tf.split(self._all_reduced(tf.concat([*vectors, own], 0)), [*sizes, 1])
        return tf.nest.pack_sequence_as(sums, times(tuple(totals), 1 / tasks)), tasks[0]

    def sum(self, array: np.ndarray) -> np.ndarray:
        """The sum of all workers' arrays, of the same shape."""
        return self._exchange(array, "Add")

    def maximum(self, value: int) -> int:
        """The largest of all workers' values; nobody goes on before all have come here."""
        return int(self._exchange(np.array([value], np.int64), "Max")[0])

    def broadcast(self, array: np.ndarray) -> np.ndarray:
        """The chief's array; the others give one of the same shape."""
        return self.sum(array if self.is_chief else np.zeros_like(array))

    def broadcast_text(self, text: str) -> str:
        """The chief's text."""
        if self.size == 1:
            return text
        content = np.frombuffer(text.encode("utf8"), np.uint8).astype(np.int32)
        length = int(self.broadcast(np.array([len(content)], np.int64))[0])
        content = self.broadcast(content if self.is_chief else np.zeros(length, np.int32))
        return content.astype(np.uint8).tobytes().decode("utf8")

    def _exchange(self, array: np.ndarray, operation: str) -> np.ndarray:
        if self.size == 1:
            return array
        self.next_call()
        return self._all_reduced(tf.constant(array), operation).numpy()

    def _all_reduced(self, tensor: tf.Tensor, operation: str = "Add") -> tf.Tensor:
        """What `operation` makes of all workers' tensors, everywhere the same bits.

        All rings of a grid's columns add in the same order. TensorFlow tells the passes of a loop
        apart by itself. There is no time limit: the others wait for the chief while it saves, and
        dead workers are found by their heartbeats.
        """
        assert self._key is not None  # one process by itself has nobody to ask
        for number, (ring, workers) in enumerate(self._rings):
            tensor = tf.raw_ops.CollectiveReduceV2(
                input=tensor,
                group_size=workers,
                group_key=ring,
                instance_key=tf.cast(self._key, tf.int32) + number,
                ordering_token=[],
                merge_op=operation,
                final_op="Id",
                communication_hint="ring",
            )
        return tensor


def _own_rings(rank: int, sizes: tuple[int, ...]) -> list[tuple[int, int]]:
    """Key and size of the rings that a worker is in: the only one, or its row and its column."""
    if len(sizes) == 1:
        return [(_FIRST_RING, sizes[0])]
    columns, rows = sizes
    row, column = divmod(rank, columns)
    return [(_FIRST_RING + row, columns), (_FIRST_RING + rows + column, rows)]


ALONE = Group()


def group_of(cluster: Cluster | None) -> Group:
    """The group of a cluster, whose TensorFlow was started with it."""
    return Group(cluster.rank, len(cluster.tasks)) if cluster else ALONE


@contextlib.contextmanager
def lost_workers_named(cluster: Cluster | None) -> Iterator[None]:
    """Turns what TensorFlow says when a worker is gone into one sentence (UserError)."""
    try:
        yield
    except tf.errors.OpError as error:
        if cluster is None or "ollective" not in str(error):
            raise
        # Whoever hears of it from another worker quotes that one, so the last is the first.
        named = re.findall(r"/job:(\w+)(?:/replica:\d+)?/task:(\d+)", str(error))
        lost = [task for job, index in named if (task := (job, int(index))) in cluster.tasks]
        who = cluster.name(cluster.tasks.index(lost[-1])) if lost else "another worker"
        raise UserError(
            f"{who} has ended or no longer answers, which ends the run: see its output. Start "
            "all workers again with --resume to continue from the last checkpoint"
        ) from error
