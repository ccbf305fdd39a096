"""The sampler: properties of every task, the distribution of many, and pinned examples."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from supervised_reptile.data.dataset import ClassPool, check_pool
from supervised_reptile.data.episodes import (
    Purpose,
    Stream,
    Tasks,
    TaskShape,
    _distinct,
    check_batch,
    foml_shape,
    sample_tasks,
)
from supervised_reptile.errors import UserError

SEEDS = st.integers(0, 2**63 - 1)


class Draw(NamedTuple):
    """Arguments of `sample_tasks`, and what it returned."""

    pool: ClassPool
    shape: TaskShape
    stream: Stream
    steps: range
    tasks: range
    drawn: Tasks

    def task(self, index: int) -> Tasks:
        return Tasks(*(array[index] for array in self.drawn))


@st.composite
def shapes(draw: st.DrawFn, **fixed: object) -> TaskShape:
    """Any shape of task, FOML's of both kinds included."""
    way, shots = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    values = {
        "way": way,
        "shots": shots,
        "steps": draw(st.integers(1, 5)),
        "replacement": draw(st.booleans()),
        "queries": draw(st.integers(0, 3)),
        **fixed,
    }
    tail_shots = draw(st.integers(1, shots - 1)) if shots > 1 and draw(st.booleans()) else None
    examples = way * (shots - (tail_shots or 0))
    values["batch"] = draw(st.integers(1, examples if values["replacement"] else 3 * examples))
    shape = TaskShape(**values)
    return foml_shape(shape, tail_shots) if tail_shots or draw(st.booleans()) else shape


@st.composite
def pools(draw: st.DrawFn, shape: TaskShape) -> ClassPool:
    """Classes of differing sizes, anywhere among the images and in any order."""
    sizes = st.integers(shape.per_class, shape.per_class + 8)
    counts = draw(st.lists(sizes, min_size=shape.way, max_size=shape.way + 5))
    gaps = draw(st.lists(st.integers(0, 3), min_size=len(counts), max_size=len(counts)))
    starts = np.cumsum([gap + before for gap, before in zip(gaps, [0, *counts], strict=False)])
    order = draw(st.permutations(range(len(counts))))
    names = tuple(f"class {i}" for i in order)
    return ClassPool(starts[order].astype(np.int64), np.array(counts, np.int64)[order], names)


@st.composite
def draws(draw: st.DrawFn, **fixed: object) -> Draw:
    shape = draw(shapes(**fixed))
    pool, seed = draw(pools(shape)), draw(SEEDS)
    steps, tasks = (
        range(first, first + draw(st.integers(1, 3)))
        for first in draw(st.tuples(st.integers(0, 2**62), st.integers(0, 2**62)))
    )
    stream = Stream(seed, draw(st.sampled_from(Purpose)))
    return Draw(pool, shape, stream, steps, tasks, sample_tasks(pool, shape, stream, steps, tasks))


def class_of(pool: ClassPool, row: int) -> int:
    (owner,) = np.flatnonzero((pool.starts <= row) & (row < pool.starts + pool.counts))
    return int(owner)


def all_pairs(task: Tasks) -> set[tuple[int, int]]:
    """Every (row, label) that a task mentions."""
    return {
        (int(row), int(label))
        for rows, labels in zip(task[::2], task[1::2], strict=True)
        for row, label in zip(rows.ravel(), labels.ravel(), strict=True)
    }


@given(draws())
def test_arrays_have_their_shapes(draw: Draw) -> None:
    shape, drawn = draw.shape, draw.drawn
    count = len(draw.steps) * len(draw.tasks)
    inner, tail = (count, shape.steps, shape.batch), (count, shape.tail)
    support = (count, shape.way * shape.shots)
    query = (count, shape.queries, shape.way)
    expected = [size for size in (inner, tail, support, query) for _ in ("rows", "labels")]
    assert [array.shape for array in drawn] == expected
    assert all(array.dtype == np.int32 for array in drawn)


@given(draws())
def test_rows_belong_to_the_classes_that_their_labels_stand_for(draw: Draw) -> None:
    for index in range(len(draw.drawn.rows)):
        pairs = all_pairs(draw.task(index))
        meaning = {(label, class_of(draw.pool, row)) for row, label in pairs}
        labels, classes = zip(*meaning, strict=True)
        assert sorted(labels) == list(range(draw.shape.way))  # one class to a label,
        assert len(set(classes)) == draw.shape.way  # and one label to a class


@given(draws())
def test_support_tail_and_queries_share_no_example(draw: Draw) -> None:
    shape = draw.shape
    for index in range(len(draw.drawn.rows)):
        task = draw.task(index)
        parts = [(task.support_rows, task.support_labels, shape.shots)]
        parts.append((task.query_rows.ravel(), task.query_labels.ravel(), shape.queries))
        assert all(labels.tolist() == sorted(labels) for labels in task.query_labels)
        if shape.tail_shots:
            parts.append((task.tail_rows, task.tail_labels, shape.tail_shots))
        rows = np.concatenate([part[0] for part in parts])
        assert len(set(rows.tolist())) == len(rows) == shape.way * shape.per_class
        for _, labels, per_class in parts:
            assert np.bincount(labels, minlength=shape.way).tolist() == [per_class] * shape.way


def cut_batches(shape: TaskShape, task: Tasks) -> list[list[tuple[int, int]]]:
    """The batches cut from the support set, FOML's tail included where it is one of them."""
    batches = list(zip(task.rows, task.labels, strict=True))
    if shape.tail and not shape.tail_shots:
        batches.append((task.tail_rows, task.tail_labels))
    return [list(zip(*(a.tolist() for a in batch), strict=True)) for batch in batches]


def support_of(task: Tasks) -> set[tuple[int, int]]:
    return set(zip(task.support_rows.tolist(), task.support_labels.tolist(), strict=True))


@given(draws(replacement=False))
def test_batches_are_consecutive_pieces_of_shuffled_passes(draw: Draw) -> None:
    shape = draw.shape
    for index in range(len(draw.drawn.rows)):
        task = draw.task(index)
        stream = [pair for batch in cut_batches(shape, task) for pair in batch]
        examples = shape.way * shape.shots
        passes = [stream[i : i + examples] for i in range(0, len(stream), examples)]
        for one in passes:
            assert len(set(one)) == len(one)
            assert set(one) <= support_of(task)
        assert all(set(one) == support_of(task) for one in passes[:-1])


@given(draws(replacement=True))
def test_batches_with_replacement_repeat_no_example_inside(draw: Draw) -> None:
    for index in range(len(draw.drawn.rows)):
        task = draw.task(index)
        for batch in cut_batches(draw.shape, task):
            assert len(set(batch)) == draw.shape.batch
            assert set(batch) <= support_of(task)


@given(draws(), st.data())
def test_a_task_is_a_function_of_seed_purpose_step_and_number(draw: Draw, data: st.DataObject):
    """However tasks are grouped into calls, and whatever was drawn before."""
    step_count, task_count = len(draw.steps), len(draw.tasks)
    i, j = data.draw(st.integers(0, step_count - 1)), data.draw(st.integers(0, task_count - 1))
    alone = sample_tasks(
        draw.pool, draw.shape, draw.stream, draw.steps[i : i + 1], draw.tasks[j : j + 1]
    )
    for one, many in zip(alone, draw.drawn, strict=True):
        np.testing.assert_array_equal(one[0], many[i * task_count + j])
    later = sample_tasks(draw.pool, draw.shape, draw.stream, draw.steps[i:], draw.tasks)
    for some, many in zip(later, draw.drawn, strict=True):
        np.testing.assert_array_equal(some, many[i * task_count :])


POOL = ClassPool(np.arange(50) * 20, np.full(50, 20), tuple(map(str, range(50))))
SHAPE = TaskShape(way=5, shots=5, steps=3, batch=4, queries=1)


def one_task(stream: Stream, step: int = 0, task: int = 0, shape: TaskShape = SHAPE) -> Tasks:
    steps, tasks = range(step, step + 1), range(task, task + 1)
    return Tasks(*(array[0] for array in sample_tasks(POOL, shape, stream, steps, tasks)))


@given(SEEDS)
@settings(max_examples=30)
def test_seeds_purposes_steps_and_numbers_give_different_tasks(seed: int) -> None:
    stream = Stream(seed, Purpose.TRAIN)
    others = [one_task(stream._replace(purpose=p)) for p in Purpose if p is not Purpose.TRAIN]
    others += [one_task(Stream(seed + 1, Purpose.TRAIN)), one_task(Stream(seed ^ 2**40, 0))]
    others += [one_task(stream, step=1), one_task(stream, task=1), one_task(stream, step=2**33)]
    tasks = [one_task(stream), *others]
    assert len({task.support_rows.tobytes() for task in tasks}) == len(tasks)


@given(SEEDS, st.booleans())
@settings(max_examples=30)
def test_foml_cuts_the_same_batches_and_calls_the_last_one_its_tail(
    seed: int, replacement: bool
) -> None:
    """Methods are compared on the same episodes."""
    shape, stream = SHAPE._replace(replacement=replacement), Stream(seed, Purpose.TRAIN)
    reptile, foml = one_task(stream, shape=shape), one_task(stream, shape=foml_shape(shape, None))
    np.testing.assert_array_equal(foml.rows, reptile.rows[:-1])
    np.testing.assert_array_equal(foml.labels, reptile.labels[:-1])
    np.testing.assert_array_equal(foml.tail_rows, reptile.rows[-1])
    np.testing.assert_array_equal(foml.tail_labels, reptile.labels[-1])


def test_a_tail_with_its_own_shots_takes_them_from_the_task() -> None:
    assert foml_shape(SHAPE, 2) == SHAPE._replace(shots=3, steps=2, tail=10, tail_shots=2)
    assert foml_shape(SHAPE, 2).per_class == SHAPE.per_class


@pytest.mark.parametrize("tail_shots", [None, 2])
def test_foml_with_a_single_inner_step_has_nothing_but_a_tail(tail_shots: int | None) -> None:
    shape = foml_shape(SHAPE._replace(steps=1), tail_shots)
    task = one_task(Stream(0, Purpose.TRAIN), shape=shape)
    assert task.rows.shape == (0, 4)
    assert len(task.tail_rows) == (4 if tail_shots is None else 10)


def test_without_a_tail_there_are_no_tail_examples() -> None:
    task = one_task(Stream(0, Purpose.TRAIN))
    assert task.tail_rows.shape == task.tail_labels.shape == (0,)


def is_uniform(seen: Counter, kinds: int) -> bool:
    """Whether a chi-square test finds nothing against `kinds` equally likely outcomes."""
    counts = [*seen.values(), *[0] * (kinds - len(seen))]
    assert len(counts) == kinds
    return stats.chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize(("total", "size"), [(4, 2), (3, 3), (5, 1), (6, 3)])
def test_ordered_samples_are_equally_likely(total: int, size: int) -> None:
    words = np.random.Philox(key=total).random_raw(12_000 * size).reshape(-1, size)
    samples = _distinct(words, np.full(len(words), total))
    kinds = int(np.prod([total - i for i in range(size)]))
    assert is_uniform(Counter(map(tuple, samples.tolist())), kinds)


def test_rows_of_one_sample_may_have_different_totals() -> None:
    totals = np.tile([2, 3, 50], 4000)
    words = np.random.Philox(key=1).random_raw(2 * len(totals)).reshape(-1, 2)
    samples = _distinct(words, totals)
    assert np.all(samples < totals[:, None])
    assert np.all(samples[:, 0] != samples[:, 1])
    for total in (2, 3, 50):
        picks = samples[totals == total]
        assert all(is_uniform(Counter(picks[:, i].tolist()), total) for i in (0, 1))


@pytest.fixture(scope="module")
def many() -> Tasks:
    """12,000 tasks of three out of five classes of differing sizes."""
    pool = ClassPool(np.array([10, 0, 4, 20, 30]), np.array([6, 4, 6, 9, 2]), tuple("abcde"))
    shape = TaskShape(way=3, shots=1, steps=2, batch=2, queries=1)
    return sample_tasks(pool, shape, Stream(0, Purpose.TRAIN), range(3000), range(4))


def test_classes_and_their_order_are_equally_likely(many: Tasks) -> None:
    owner = np.repeat([1, 2, 0, -1, 3, -1, 4], [4, 6, 6, 4, 9, 1, 2])  # of every row
    classes = owner[many.support_rows]
    assert is_uniform(Counter(map(tuple, classes.tolist())), 5 * 4 * 3)


def test_examples_of_a_class_are_equally_likely(many: Tasks) -> None:
    pairs = zip(many.support_rows.ravel(), many.query_rows.ravel(), strict=True)
    of_class_c = Counter((int(s), int(q)) for s, q in pairs if 4 <= s < 10)
    assert is_uniform(of_class_c, 6 * 5)


def label_orders(replacement: bool) -> Counter:
    """How often each order of labels came in two batches of two out of three examples."""
    shape = TaskShape(way=3, shots=1, steps=2, batch=2, replacement=replacement)
    pool = ClassPool(np.arange(3), np.ones(3, np.int64), tuple("abc"))
    tasks = sample_tasks(pool, shape, Stream(1, Purpose.TRAIN), range(3000), range(4))
    return Counter(map(tuple, tasks.labels.reshape(-1, 4).tolist()))


def test_shuffles_are_equally_likely() -> None:
    seen = label_orders(replacement=False)
    assert is_uniform(Counter(order[:3] for order in seen.elements()), 6)  # a whole pass
    assert is_uniform(seen, 6 * 3)  # and the first example of the next one


def test_batches_with_replacement_are_independent_of_each_other() -> None:
    assert is_uniform(label_orders(replacement=True), 6 * 6)


def test_tasks_of_a_stream_are_independent(many: Tasks) -> None:
    labels = many.labels[:, 0, 0]
    pairs = Counter(zip(labels[:-1:2].tolist(), labels[1::2].tolist(), strict=True))
    assert is_uniform(pairs, 9)


def test_the_stream_is_pinned_for_good() -> None:
    """Published seeds stand for these tasks: a change of them is a change of all results."""
    shape = foml_shape(TaskShape(way=3, shots=2, steps=3, batch=4, queries=1), None)
    tasks = sample_tasks(POOL, shape, Stream(7, Purpose.TRAIN), range(5, 7), range(2, 3))
    assert tasks.rows.tolist() == [
        [[200, 331, 327, 249], [245, 212, 212, 331]],
        [[416, 417, 15, 104], [112, 1, 1, 416]],
    ]
    assert tasks.labels.tolist() == [[[2, 1, 1, 0], [0, 2, 2, 1]], [[2, 2, 0, 1], [1, 0, 0, 2]]]
    assert tasks.tail_rows.tolist() == [[245, 200, 249, 327], [417, 15, 112, 104]]
    assert tasks.query_rows.tolist() == [[[247, 322, 219]], [[0, 100, 409]]]


def test_the_stream_with_replacement_and_a_tail_is_pinned_for_good() -> None:
    shape = TaskShape(way=3, shots=3, steps=3, batch=4, replacement=True)
    shape = foml_shape(shape, 1)
    tasks = sample_tasks(POOL, shape, Stream(2**40, Purpose.EVALUATE), range(1), range(1))
    assert tasks.rows.tolist() == [[[787, 857, 502, 856], [517, 787, 856, 857]]]
    assert tasks.tail_rows.tolist() == [[858, 512, 793]]


def test_a_batch_larger_than_its_task_is_refused_with_replacement_only() -> None:
    shape = TaskShape(way=3, shots=4, steps=2, batch=13, replacement=True)
    with pytest.raises(UserError) as caught:
        check_batch(shape, "--eval-batch")
    assert str(caught.value) == (
        "--eval-batch 13 with --replacement: a task has only 12 examples (3 classes x 4) and a "
        "batch never repeats one"
    )
    check_batch(shape._replace(batch=12), "--eval-batch")
    check_batch(shape._replace(replacement=False), "--eval-batch")


def test_the_tail_does_not_count_towards_a_batch() -> None:
    shape = foml_shape(TaskShape(way=3, shots=4, steps=2, batch=9, replacement=True), 2)
    with pytest.raises(UserError, match="only 6 examples"):
        check_batch(shape, "--inner-batch")


def test_a_pool_with_too_few_classes_is_refused() -> None:
    check_pool(POOL, "test", way=50, per_class=20)
    with pytest.raises(UserError) as caught:
        check_pool(POOL, "test", way=51, per_class=1)
    assert str(caught.value) == (
        "--classes 51: the test split has only 50 classes; give fewer, or more data "
        "(own images: or other shares by --split)"
    )


def test_a_class_with_too_few_images_is_refused_by_name() -> None:
    pool = ClassPool(np.array([0, 9, 12]), np.array([9, 3, 5]), ("many", "few", "some"))
    check_pool(pool, "train", way=2, per_class=3)
    with pytest.raises(UserError) as caught:
        check_pool(pool, "train", way=2, per_class=4)
    assert str(caught.value) == (
        "class few of the train split has 3 images, a task needs 4: ask for fewer --shots or "
        "--train-shots, or add images"
    )
