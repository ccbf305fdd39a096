"""Images on their way to the graph: resident or gathered, and prefetched."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_problem as small

from supervised_reptile.algorithms import image_feed
from supervised_reptile.algorithms.image_feed import ImageFeed, TaskBatch, prefetched
from supervised_reptile.data.episodes import Tasks, TaskShape

SHAPE = TaskShape(
    way=3, shots=2, steps=2, batch=3, tail=3, tail_shots=1, queries=1
)  # every array of Tasks has something in it


@pytest.fixture
def tasks() -> Tasks:
    return small.small_tasks(SHAPE, steps=1, tasks=2)


def seen(batch: TaskBatch, name: str) -> np.ndarray:
    """What the network gets for one array of rows."""
    return batch.table[0].numpy()[getattr(batch.tasks, name)]


@pytest.fixture
def gathered(monkeypatch: pytest.MonkeyPatch) -> ImageFeed:
    monkeypatch.setattr(image_feed, "RESIDENT_BYTES", 100)
    return ImageFeed(small.small_dataset(), small.encode)


def test_resident_and_gathered_images_are_the_same(tasks: Tasks, gathered: ImageFeed) -> None:
    resident = ImageFeed(small.small_dataset(), small.encode)
    few, all_images = gathered(tasks), resident(tasks)
    for name in ("rows", "tail_rows", "support_rows", "query_rows"):
        assert getattr(tasks, name).size
        expected = small.ENCODED[0][getattr(tasks, name)]
        np.testing.assert_array_equal(seen(all_images, name), expected)
        np.testing.assert_array_equal(seen(few, name), seen(all_images, name))
    for name in ("labels", "tail_labels", "support_labels", "query_labels"):
        np.testing.assert_array_equal(getattr(few.tasks, name), getattr(tasks, name))


def test_only_images_that_are_used_are_gathered(tasks: Tasks, gathered: ImageFeed) -> None:
    used = {*tasks.rows.ravel(), *tasks.tail_rows.ravel()}
    used |= {*tasks.support_rows.ravel(), *tasks.query_rows.ravel()}
    batch = gathered(tasks)
    assert len(batch.table[0]) == len(used) < len(small.IMAGES)
    assert batch.tasks.rows.dtype == tasks.rows.dtype


def test_resident_images_are_put_into_memory_once(tasks: Tasks) -> None:
    resident = ImageFeed(small.small_dataset(), small.encode)
    assert resident(tasks).table[0] is resident(tasks).table[0]
    assert resident(tasks).tasks is tasks


def test_memory_mapped_images_are_gathered(
    tmp_path: Path, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_feed, "RESIDENT_BYTES", 100)
    np.save(tmp_path / "images.npy", small.IMAGES)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    batch = ImageFeed(replace(small.small_dataset(), images=mapped), small.encode)(tasks)
    expected = small.ENCODED[0][tasks.query_rows]
    np.testing.assert_array_equal(seen(batch, "query_rows"), expected)


@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_prefetched_keeps_the_order(count: int) -> None:
    assert list(prefetched(range(count), lambda n: n * n)) == [(n, n * n) for n in range(count)]


def test_the_next_item_is_worked_on_while_the_caller_has_one() -> None:
    begun = [threading.Event() for _ in range(4)]
    asked_for = []

    def items() -> Iterator[int]:
        for item in range(4):
            asked_for.append(item)
            yield item

    for item, _ in prefetched(items(), lambda n: begun[n].set()):
        following = min(item + 1, 3)
        assert begun[following].wait(timeout=10)
        assert asked_for == list(range(following + 1))  # and no further ahead


def test_an_error_comes_in_its_place() -> None:
    def work(item: int) -> int:
        if item == 2:
            raise ValueError("two is broken")
        return item

    results = prefetched(range(5), work)
    assert [next(results) for _ in range(2)] == [(0, 0), (1, 1)]
    with pytest.raises(ValueError, match="two is broken"):
        next(results)
    assert list(results) == []


def test_a_caller_may_stop_early() -> None:
    done = []
    results = prefetched(range(100), done.append)
    next(results)
    results.close()
    assert done == [0, 1]
