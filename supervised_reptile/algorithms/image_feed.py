"""From rows to pixels: what crosses into the compiled graph, prepared ahead of the compute."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
import tensorflow as tf

from supervised_reptile.data.dataset import Dataset
from supervised_reptile.data.episodes import Tasks
from supervised_reptile.networks.conv4 import Encode
from supervised_reptile.system.thread_pool import map_ahead

# Data sets up to this size live in the graph's memory and only row numbers cross into it;
# of larger ones (memory-mapped) each call brings along just the images it needs.
RESIDENT_BYTES = 128 * 2**20
IMAGES_AT_ONCE = 1024
ALIGNMENT = 64  # bytes, of TensorFlow's tensors

Item = TypeVar("Item")
Product = TypeVar("Product")


class TaskBatch(NamedTuple):
    """Tasks, and the images that their rows number."""

    table: tuple[tf.Tensor, ...]  # [images, ...] each
    tasks: Tasks


class ImageFeed:
    """Turns tasks of a data set into what a compiled call takes."""

    def __init__(self, dataset: Dataset, encode: Encode) -> None:
        """`encode` makes of uint8 images [n, height, width, channels] what a network reads."""
        self._images, self._encode = dataset.images, encode
        resident = dataset.images.nbytes <= RESIDENT_BYTES
        self._resident = self._all_encoded() if resident else None

    def __call__(self, tasks: Tasks) -> TaskBatch:
        """`tasks` as they are if the images are resident, else renumbered for a copy of theirs."""
        if self._resident is not None:
            return TaskBatch(self._resident, tasks)
        used = np.unique(np.concatenate([rows.ravel() for rows in _row_arrays(tasks).values()]))
        renumbered = {
            name: np.searchsorted(used, rows).astype(np.int32)
            for name, rows in _row_arrays(tasks).items()
        }
        return TaskBatch(self._encoded(used), tasks._replace(**renumbered))

    def _all_encoded(self) -> tuple[tf.Tensor, ...]:
        """The whole set, in memory once: `tf.constant` would hold a second copy for a moment."""
        columns: list[np.ndarray] = []
        total = len(self._images)
        for start in range(0, total, IMAGES_AT_ONCE):
            rows = np.arange(start, min(start + IMAGES_AT_ONCE, total))
            pieces = self._encode(self._images[rows], rows)
            if not columns:
                columns = [_aligned((total, *piece.shape[1:]), piece.dtype) for piece in pieces]
            for column, piece in zip(columns, pieces, strict=True):
                column[rows] = piece
        # tf.identity moves it to where the training computes.
        return tuple(
            tf.identity(tf.experimental.dlpack.from_dlpack(c.__dlpack__())) for c in columns
        )

    def _encoded(self, rows: np.ndarray) -> tuple[tf.Tensor, ...]:
        return tuple(map(tf.constant, self._encode(self._images[rows], rows)))


def _aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Zeros where TensorFlow can use them in place."""
    size = math.prod(shape) * dtype.itemsize
    buffer = np.zeros(size + ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % ALIGNMENT
    return buffer[start : start + size].view(dtype).reshape(shape)


def _row_arrays(tasks: Tasks) -> dict[str, np.ndarray]:
    return {name: array for name, array in tasks._asdict().items() if name.endswith("rows")}


def prefetched(
    items: Iterable[Item], work: Callable[[Item], Product]
) -> Iterator[tuple[Item, Product]]:
    """(item, work(item)) in order; the next one is worked on while the caller has this one."""
    with ThreadPoolExecutor(1) as pool:
        yield from map_ahead(pool, lambda item: (item, work(item)), items, ahead=1)
