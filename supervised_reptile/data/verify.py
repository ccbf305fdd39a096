"""What a data set has, what it lacks, and whether one can train on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from supervised_reptile.data.duplicates import Duplicates, find_duplicates
from supervised_reptile.data.import_layout import empty_classes, skipped_images
from supervised_reptile.data.layouts.layout import SHOWN, SPLITS
from supervised_reptile.data.official_sets import Difference, differences
from supervised_reptile.data.open_any import open_any
from supervised_reptile.data.store import ImageStore, is_store, pixel_checksum
from supervised_reptile.data.summary import summary_lines
from supervised_reptile.errors import counted


@dataclass(frozen=True)
class Report:
    """What `verify` found."""

    store: ImageStore
    duplicates: Duplicates
    unreadable: Mapping[str, str]  # file -> reason; they are not in the store
    empty: tuple[str, ...]  # classes without an image
    differences: tuple[Difference, ...]  # from the official data set
    damage: str  # why nobody should train on it; "" where nothing speaks against

    @property
    def verdict(self) -> str:
        """`complete`, `usable` or `broken`, and why: the last line of the report."""
        if self.damage:
            return f"broken: {self.damage}"
        if self.differences:
            return f"usable: {self.differences[0].summary}"
        classes, images = len(self.store.names), int(self.store.counts[0])
        return f"complete: {counted(classes, 'class')} of {counted(images, 'image')}, as published"

    @property
    def is_broken(self) -> bool:
        """Whether the verdict is `broken`."""
        return bool(self.damage)

    def lines(self) -> Iterator[str]:
        """The report for people, the verdict last."""
        yield from summary_lines(self.store)
        yield from self._duplicate_lines()
        yield f"unreadable files: {len(self.unreadable):,}"
        yield from (f"  {file}: {reason}" for file, reason in self.unreadable.items())
        if self.empty:
            yield f"classes without an image: {', '.join(self.empty)}"
        for difference in self.differences:
            yield f"difference: {difference.summary}"
            yield from (f"  {label}" for label in difference.classes)
        yield self.verdict

    def _duplicate_lines(self) -> Iterator[str]:
        yield f"pairs of exact duplicates: {self.duplicates.total:,}"
        for (a, b), count in sorted(self.duplicates.counts.items()):
            where = f"within {a or 'the set'}" if a == b else f"across {a} and {b}"
            yield f"  {count:,} {where}"
        yield from (f"  {a} = {b}" for a, b in self.duplicates.names)
        if self.duplicates.total > len(self.duplicates.names):
            yield f"  and {self.duplicates.total - len(self.duplicates.names):,} more"


def verify(path: Path) -> Report:
    """Check the data set at `path`, every pixel of it.

    Raw data are imported into the user's cache, without the broken images.

    Raises:
      UserError: there is no data set, or none that can be opened.
    """
    store = open_any(path)
    unreadable = skipped_images(store)
    found = differences(store)
    if unreadable:
        left_out = f"broken images left out at import: {len(unreadable):,}"
        found = (Difference(left_out), *found)
    return Report(
        store=store,
        duplicates=find_duplicates(store),
        unreadable=unreadable,
        empty=empty_classes(store),
        differences=found,
        damage=_damage(store, raw=not is_store(path)),
    )


def _damage(store: ImageStore, raw: bool) -> str:
    """The first reason not to train on it, or ""."""
    if pixel_checksum(store) != store.checksum:
        return f"the pixels in {store.folder} are not those that were imported; import them again"
    if raw and (unreadable := skipped_images(store)):
        first = [*unreadable][:SHOWN] + ["..."] * (len(unreadable) > SHOWN)
        return f"unreadable files: {len(unreadable):,} ({', '.join(first)})"
    if raw and (empty := empty_classes(store)):
        return f"classes without an image: {len(empty):,}"
    have = [name for name in SPLITS if np.size(store.splits.get(name, ()))]
    if store.splits and ("train" not in have or len(have) < 2):
        return f"no classes in {' and '.join(name for name in SPLITS if name not in have)}"
    return ""
