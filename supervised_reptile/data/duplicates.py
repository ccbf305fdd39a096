"""Images with exactly the same pixels."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, islice

import numpy as np

from supervised_reptile.data.store import ImageStore, image_blocks

NAMED = 100  # pairs that are named; all are counted


@dataclass(frozen=True)
class Duplicates:
    """Pairs of images with the same pixels; three equal images make three pairs."""

    counts: Mapping[tuple[str, str], int]  # (split, split) -> pairs within or across them
    names: tuple[tuple[str, str], ...]  # the first NAMED pairs, as split/class/file

    @property
    def total(self) -> int:
        """How many pairs there are."""
        return sum(self.counts.values())


def find_duplicates(store: ImageStore) -> Duplicates:
    """Compares every image of the store with every other one, whole, by a 128-bit hash."""
    groups = equal_images(store.images)
    split_of = _split_of_images(store)
    counts: Counter[tuple[str, str]] = Counter()
    for group in groups:
        sizes = Counter(split_of[group])
        counts.update({(name, name): n * (n - 1) // 2 for name, n in sizes.items() if n > 1})
        counts.update({(a, b): sizes[a] * sizes[b] for a, b in combinations(sizes, 2)})
    return Duplicates(counts, tuple(islice(_name_pairs(store, groups, split_of), NAMED)))


def equal_images(images: np.ndarray) -> list[list[int]]:
    """Groups of rows of uint8 [images, ...] with the same values, each ascending."""
    rows: dict[bytes, list[int]] = {}
    row = 0
    for block in image_blocks(images):
        for image in block:
            key = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
            rows.setdefault(key, []).append(row)
            row += 1
    return [group for group in rows.values() if len(group) > 1]


def _split_of_images(store: ImageStore) -> np.ndarray:
    """The name of each image's split, "" where it has none: str [images]."""
    of_class = np.full(len(store.names), "", object)
    for name, ids in store.splits.items():
        of_class[ids] = name
    return np.repeat(of_class, store.counts)


def _name_pairs(
    store: ImageStore, groups: list[list[int]], split_of: np.ndarray
) -> Iterator[tuple[str, str]]:
    def name(row: int) -> str:
        label = int(np.searchsorted(store.offsets, row, side="right")) - 1
        file = store.files[row] if store.files else f"image {row - store.offsets[label]}"
        return "/".join(filter(None, (split_of[row], store.names[label], file)))

    for group in groups:
        yield from ((name(a), name(b)) for a, b in combinations(group, 2))
