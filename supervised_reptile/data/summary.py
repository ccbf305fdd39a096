"""A data set in a few lines of text: splits, classes, images per class, where it came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from supervised_reptile.data.import_layout import notes_on
from supervised_reptile.data.layouts.decode_image import nothing_note, shows_nothing
from supervised_reptile.data.official_sets import kind_of
from supervised_reptile.data.store import ImageStore, image_blocks
from supervised_reptile.errors import counted


class SplitSummary(NamedTuple):
    """One split's size; the last three are images per class."""

    name: str
    classes: int
    images: int
    least: int
    median: float
    most: int


def parts_of(store: ImageStore) -> Mapping[str, np.ndarray]:
    """Split -> class indices; all classes as one part where there are no splits."""
    return store.splits or {"all": np.arange(len(store.names))}


def split_summaries(store: ImageStore) -> list[SplitSummary]:
    """The size of each split."""
    summaries = []
    for name, ids in parts_of(store).items():
        counts = store.counts[ids] if len(ids) else np.zeros(1, np.int64)
        sizes = int(counts.sum()), int(counts.min()), float(np.median(counts)), int(counts.max())
        summaries.append(SplitSummary(name, len(ids), *sizes))
    return summaries


def summary_lines(store: ImageStore) -> Iterator[str]:
    """The summary for people."""
    height, width, channels = store.image_shape
    yield f"{kind_of(store)}: {counted(len(store.images), 'image')} of {height}x{width}x{channels}"
    yield "split  classes  images  per class (min/median/max)"
    for name, classes, images, *spread in split_summaries(store):
        yield f"{name:5}  {classes:7,}  {images:6,}  " + "/".join(f"{n:g}" for n in spread)
    if layout := store.provenance.get("layout"):
        yield f"imported from {layout}; resizing: {store.provenance['resize']}"
    yield from notes_on(store)
    if note := blank_note(store):
        yield note


def blank_note(store: ImageStore) -> str:
    """How many images show nothing, the first ones by class and file; "" where none."""

    def name(row: int) -> str:
        label = int(np.searchsorted(store.offsets, row, side="right")) - 1
        file = store.files[row] if store.files else f"image {row - store.offsets[label]}"
        return f"{store.names[label]}/{file}"

    blocks = image_blocks(store.images)
    blank = [shows_nothing(block, store.max_value) for block in blocks]
    return nothing_note(np.concatenate([np.zeros(0, bool), *blank]), name, "image")
