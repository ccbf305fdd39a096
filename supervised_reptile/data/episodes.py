"""Which examples: index and label arrays of tasks, a pure function of (seed, step, task).

Every task has its own counter-based random stream (Philox), so no generator state is
ever saved: resuming, splitting work over machines and comparing methods on the same
episodes follow. Only the generator's raw words are used, which NumPy keeps stable.
Nothing here touches a pixel; `rows` are row numbers of the data set's image array.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from supervised_reptile.data.dataset import SPLIT_NAMES, ClassPool
from supervised_reptile.errors import UserError, counted


class Purpose(IntEnum):
    """What a stream of tasks is for; streams of different purposes are independent."""

    TRAIN = 0
    MONITOR = 1
    EVALUATE = 2
    ALIGN = 3
    SHOW = 4


class Stream(NamedTuple):
    """A family of random tasks: task `task` of step `step` is a pure function of all four."""

    seed: int
    purpose: Purpose


class TaskShape(NamedTuple):
    """How a task is drawn and cut into inner batches."""

    way: int
    shots: int  # examples per class the inner batches are cut from
    steps: int  # inner batches
    batch: int  # examples in an inner batch
    replacement: bool = False
    tail: int = 0  # examples of one more, last batch: see `tail_shots`
    tail_shots: int = 0  # if > 0 the tail is this many further examples of each class
    queries: int = 0  # further examples per class, to be classified

    @property
    def per_class(self) -> int:
        """Distinct examples of a class that a task uses."""
        return self.shots + self.tail_shots + self.queries

    @property
    def cut(self) -> int:
        """Inner batches cut from the shots: the tail is one of them unless it has its own shots."""
        return self.steps + (self.tail > 0 and not self.tail_shots)


class Tasks(NamedTuple):
    """Tasks as rows of the image array and labels 0 ... way - 1, all int32."""

    rows: np.ndarray  # [tasks, steps, batch]
    labels: np.ndarray  # [tasks, steps, batch]
    tail_rows: np.ndarray  # [tasks, tail]
    tail_labels: np.ndarray  # [tasks, tail]
    support_rows: np.ndarray  # [tasks, way * shots]
    support_labels: np.ndarray  # [tasks, way * shots]
    query_rows: np.ndarray  # [tasks, queries, way], sets of one query per class
    query_labels: np.ndarray  # [tasks, queries, way]


def foml_shape(shape: TaskShape, tail_shots: int | None) -> TaskShape:
    """`shape` with its last inner batch as FOML's and MAML's tail.

    The tail is cut from the same examples as the other batches or, given `tail_shots`, consists
    of that many examples per class which the other batches never see.
    """
    if tail_shots is None:
        return shape._replace(steps=shape.steps - 1, tail=shape.batch)
    return shape._replace(
        shots=shape.shots - tail_shots,
        steps=shape.steps - 1,
        tail=tail_shots * shape.way,
        tail_shots=tail_shots,
    )


def check_batch(shape: TaskShape, flag: str) -> None:
    """Refuse a batch without replacement that is larger than its task; `flag` set its size."""
    if shape.replacement and shape.batch > shape.way * shape.shots:
        raise UserError(
            f"{flag} {shape.batch} with --replacement: a task has only "
            f"{counted(shape.way * shape.shots, 'example')} "
            f"({counted(shape.way, 'class')} x {shape.shots}) and a batch never repeats one"
        )


def sample_tasks(
    pool: ClassPool, shape: TaskShape, stream: Stream, steps: range, tasks: range
) -> Tasks:
    """Tasks `tasks` of each of `steps`, step by step.

    The distribution is the original program's (docs/semantics.md, 11 and 13): classes
    without replacement, examples of a class without replacement, inner batches consecutive
    pieces of a shuffled pass over the examples, shuffled anew when they run out.

    Args:
      pool: classes to draw from; must satisfy `check_pool`.
      shape: how tasks are drawn and cut.
      stream: which family of tasks.
      steps, tasks: the counters; the result has len(steps) * len(tasks) tasks.
    """
    words = random_words(stream, steps, tasks, _words_needed(shape))
    words, class_words = words[:, shape.way :], words[:, : shape.way]
    classes = _distinct(class_words, np.full(len(words), len(pool.starts)))
    used = shape.way * shape.per_class
    words, example_words = words[:, used:], words[:, :used]
    chosen = _distinct(
        example_words.reshape(-1, shape.per_class), pool.counts[classes].reshape(-1)
    ).reshape(*classes.shape, shape.per_class)
    rows = (pool.starts[classes][:, :, None] + chosen).astype(np.int32)  # [tasks, way, per class]
    labels = np.broadcast_to(np.arange(shape.way, dtype=np.int32)[None, :, None], rows.shape)
    return cut_tasks(shape, rows, labels, words)


def evaluation_tasks(
    pool: ClassPool, shape: TaskShape, eval_seed: int, split: str, tasks: range
) -> Tasks:
    """Episodes `tasks` of those that accuracies on a split are measured with; `pool` is its."""
    number = list(SPLIT_NAMES).index(split)
    stream = Stream(eval_seed, Purpose.EVALUATE)
    return sample_tasks(pool, shape, stream, range(number, number + 1), tasks)


def cut_tasks(shape: TaskShape, rows: np.ndarray, labels: np.ndarray, words: np.ndarray) -> Tasks:
    """Sort tasks' examples [tasks, way, per class] into support, tail, queries and batches.

    `words` shuffle them: uint64 [tasks, words_to_cut(shape)].
    """
    own_tail = shape.shots + shape.tail_shots
    support = [_flat(a[:, :, : shape.shots]) for a in (rows, labels)]
    tail = [_flat(a[:, :, shape.shots : own_tail]) for a in (rows, labels)]
    query = [np.swapaxes(a[:, :, own_tail:], 1, 2) for a in (rows, labels)]
    order = _batch_order(shape, words)  # [tasks, cut * batch]
    batches = [np.take_along_axis(a, order, axis=1) for a in support]
    batches = [a.reshape(len(rows), shape.cut, shape.batch) for a in batches]
    if shape.cut > shape.steps:
        tail = [a[:, -1] for a in batches]
    inner = [a[:, : shape.steps] for a in batches]
    return Tasks(*inner, *tail, *support, *query)


def _batch_order(shape: TaskShape, words: np.ndarray) -> np.ndarray:
    """Positions in the support set of the examples of all batches, [tasks, cut * batch]."""
    examples = shape.way * shape.shots
    words = words.reshape(len(words), _shuffles_needed(shape), examples)
    shuffles = np.argsort(words, axis=2, kind="stable")
    if shape.replacement:  # each batch is the beginning of a shuffle of its own
        return _flat(shuffles[:, :, : shape.batch])
    return _flat(shuffles)[:, : shape.cut * shape.batch]


def _flat(array: np.ndarray) -> np.ndarray:
    """[tasks, ...] as [tasks, n], also of no tasks, where NumPy cannot infer n."""
    return array.reshape(len(array), math.prod(array.shape[1:]))


def _shuffles_needed(shape: TaskShape) -> int:
    if shape.replacement:
        return shape.cut
    return -(-shape.cut * shape.batch // (shape.way * shape.shots))


def words_to_cut(shape: TaskShape) -> int:
    """Random words that `cut_tasks` takes for one task: the shuffles of its support set."""
    return shape.way * shape.shots * _shuffles_needed(shape)


def _words_needed(shape: TaskShape) -> int:
    """Random words of one task: its classes, their examples, the shuffles."""
    return shape.way * (1 + shape.per_class) + words_to_cut(shape)


def random_words(stream: Stream, steps: range, tasks: range, count: int) -> np.ndarray:
    """uint64 [len(steps) * len(tasks), count] from one Philox counter range per task."""
    generator = np.random.Philox(key=np.array([stream.seed, stream.purpose], np.uint64))
    state = generator.state  # put back with another counter: a quarter of a generator's making
    words = np.empty((len(steps) * len(tasks), count), np.uint64)
    for i, (step, task) in enumerate((s, t) for s in steps for t in tasks):
        state["state"]["counter"][:] = 0, 0, task, step  # the first word counts draws
        generator.state = state
        words[i] = generator.random_raw(count)
    return words


def _distinct(words: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Ordered samples without replacement: int64 [n, k], row i from range(totals[i]).

    Draw j picks among the totals - j that are left; stepping over the earlier picks in
    ascending order turns its rank among those into a number.
    """
    picks = np.empty(words.shape, np.int64)
    for j in range(words.shape[1]):
        left = (totals - j).astype(np.uint64)
        # The upper 32 bits times `left`, shifted: uniform up to left / 2^32.
        pick = ((words[:, j] >> np.uint64(32)) * left >> np.uint64(32)).astype(np.int64)
        for earlier in np.sort(picks[:, :j], axis=1).T:
            pick += pick >= earlier
        picks[:, j] = pick
    return picks
