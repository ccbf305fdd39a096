"""Dataset: the images of a run, and which classes are for training, validation and test."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from supervised_reptile.data.store import ImageStore
from supervised_reptile.errors import UserError, counted

# As people are told; evaluation draws other episodes of each, by its place here.
SPLIT_NAMES = {"train": "Train", "val": "Validation", "test": "Test"}


class ClassPool(NamedTuple):
    """Classes to draw tasks from; class c owns image rows starts[c] ... starts[c] + counts[c]."""

    starts: np.ndarray  # int64 [classes]
    counts: np.ndarray  # int64 [classes]
    names: tuple[str, ...]  # [classes]


@dataclass(frozen=True)
class Dataset:
    """What a run reads. Pixel values divided by `max_value` are what the network sees."""

    images: np.ndarray  # uint8 [images, height, width, channels]
    max_value: int
    pools: Mapping[str, ClassPool]  # "train" and, where held out, "val" and "test"
    checksum: str  # identifies the images and the classes

    @classmethod
    def from_arrays(cls, **splits: tuple[np.ndarray, Sequence[Hashable]]) -> Dataset:
        """A data set of arrays: train=(images, labels) and, where held out, val= and test=.

        Images are uint8 [images, height, width, channels] of one shape, and 255 stands for 1.0. No
        class may be in two splits.

        Raises:
          ValueError: they are not as described.
        """
        if not {"train"} <= splits.keys() <= SPLIT_NAMES.keys():
            raise ValueError(f"the splits are {', '.join(SPLIT_NAMES)}, and train must be given")
        pieces, pools, start = [], {}, 0
        owner: dict[Hashable, str] = {}
        for split in [name for name in SPLIT_NAMES if name in splits]:
            images, labels = np.asarray(splits[split][0]), list(splits[split][1])
            if images.dtype != np.uint8 or images.ndim != 4:
                raise ValueError(
                    f"{split}: images are {images.dtype} {list(images.shape)}, "
                    "not uint8 [images, height, width, channels]"
                )
            if len(images) != len(labels):
                raise ValueError(
                    f"{split}: {counted(len(images), 'image')} and "
                    f"{counted(len(labels), 'label')} were given"
                )
            rows: dict[Hashable, list[int]] = {}
            for row, label in enumerate(labels):
                if owner.setdefault(label, split) != split:
                    raise ValueError(f"class {label} is in {owner[label]} and in {split}")
                rows.setdefault(label, []).append(row)
            counts = np.array([len(own) for own in rows.values()], np.int64)
            starts = start + np.cumsum(counts) - counts
            pools[split] = ClassPool(starts, counts, tuple(map(str, rows)))
            pieces.append(images[np.concatenate([np.array(own) for own in rows.values()])])
            start += len(images)
        if len({piece.shape[1:] for piece in pieces}) > 1:
            raise ValueError(f"images have the shapes {[list(p.shape[1:]) for p in pieces]}")
        images = np.concatenate(pieces)
        digest = hashlib.sha256(images.data)
        digest.update(repr([(s, p.counts.tolist(), p.names) for s, p in pools.items()]).encode())
        return cls(images, 255, pools, digest.hexdigest())

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    @property
    def class_names(self) -> dict[str, tuple[str, ...]]:
        """The names of each split's classes."""
        return {split: pool.names for split, pool in self.pools.items()}

    @property
    def monitored(self) -> tuple[str, ...]:
        """The splits that training watches: its own, and validation or else test where held out."""
        held_out = [split for split in ("val", "test") if split in self.pools]
        return ("train", *held_out[:1])


def pool_of(store: ImageStore, classes: np.ndarray) -> ClassPool:
    """The pool of the store's classes numbered `classes`, int64 [classes]."""
    classes = np.asarray(classes, np.int64)
    names = tuple(store.names[c] for c in classes)
    return ClassPool(store.offsets[:-1][classes], store.counts[classes], names)


def split_dataset(store: ImageStore) -> Dataset:
    """The data set of a store that brings its own splits: Mini-ImageNet, or your own images."""
    pools = {split: pool_of(store, classes) for split, classes in store.splits.items()}
    pools = {split: pool for split, pool in pools.items() if len(pool.starts)}
    return Dataset(store.images, store.max_value, pools, store.checksum)


def check_pool(pool: ClassPool, split: str, way: int, per_class: int) -> None:
    """Refuse tasks that the pool cannot give.

    Raises:
      UserError: fewer classes than `way` (--classes), or a class with fewer than
        `per_class` images (shots and query together), which it names.
    """
    if (classes := len(pool.starts)) < way:
        fewer = "fewer, or " if classes > 1 else ""
        raise UserError(
            f"--classes {way}: the {split} split has only {counted(classes, 'class')}; "
            f"give {fewer}more data (own images: or other shares by --split)"
        )
    short = int(np.argmin(pool.counts))
    if pool.counts[short] < per_class:
        raise UserError(
            f"class {pool.names[short]} of the {split} split has "
            f"{counted(pool.counts[short], 'image')}, a task needs {per_class}: "
            "ask for fewer --shots or --train-shots, or add images"
        )
