"""From any layout to one ImageStore: sorted, decoded, every broken image accounted for."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from supervised_reptile.data.decode_parallel import Decode, decode_into
from supervised_reptile.data.layouts.decode_image import RESIZE, PixelForm, changes_notes, decode
from supervised_reptile.data.layouts.layout import (
    BROKEN,
    EMPTY,
    NAMED,
    SHOWN,
    SPLITS,
    Content,
    Item,
    Layout,
    Listing,
    left_out_note,
    passed_over,
    require_training,
    with_counts,
)
from supervised_reptile.data.store import (
    ImageStore,
    StoreIndex,
    cached_store,
    files_fingerprint,
    write_store,
)
from supervised_reptile.errors import UserError, counted, first_few, one_line

ABSENT = "it is listed but not there"
# Part of the cache's keys: another number where some files are other classes, or a store
# remembers more of them.
LISTING = 3


class _Broken(Exception):  # noqa: N818 - never leaves this module
    """Images that could not be decoded: item -> reason."""

    def __init__(self, reasons: Mapping[Item, str]) -> None:
        super().__init__()
        self.reasons = reasons


@dataclass(frozen=True)
class Recipe:
    """How a layout becomes a store."""

    form: Callable[[Listing], PixelForm]  # the shape of the images, perhaps after a look at them
    tag: str  # names the recipe in the user's cache
    skip_broken: bool = False
    divided: bool = False  # whether the layout must bring its own splits
    decode: Decode = decode
    max_value: int = 255
    remedy: str = "get these files again, or leave them out with --skip-broken"
    resize: str = f"Pillow {RESIZE.name}, stretched where the shape differs"


def write_layout(folder: Path, layout: Layout, recipe: Recipe) -> None:
    """Import `layout` as the store `folder`.

    Classes are sorted by split, then name; images within a class by file name. Where
    images are broken and to be skipped, the others are decoded once more: the store's
    size must be known before it is written.

    Raises:
      UserError: nothing to import, broken images or empty classes not to be skipped, a
        class in two splits, or `folder` cannot be written.
    """
    listing = layout.listing()
    items = sorted(set(listing.items), key=Item.order)
    _refuse_senseless(layout, listing, items, recipe)
    form = recipe.form(listing)
    skipped: dict[Item, str] = {}
    while kept := [item for item in items if item not in skipped]:
        provenance = _provenance(layout, listing, skipped) | {"resize": recipe.resize}
        index = _index(kept, form, recipe.max_value, provenance)
        try:
            return _write(folder, layout, kept, index, recipe.decode)
        except _Broken as broken:
            skipped |= broken.reasons
        if not recipe.skip_broken:
            break
    raise _broken_error(layout, _by_key(skipped), len(items), recipe)


def cached_layout(layout: Layout, recipe: Recipe) -> ImageStore:
    """The store of `layout` in the user's cache, imported there where missing or out of date.

    Raises:
      UserError: as `write_layout`; also where broken images were skipped when it was
        imported, and are not to be skipped now.
    """
    key = f"{recipe.tag}-{LISTING}-{files_fingerprint(layout.files(), layout.root)}"
    store = cached_store(key, lambda folder: write_layout(folder, layout, recipe))
    provenance = {**store.provenance, "source": layout.root.resolve().name}  # same files, moved
    if layout.listed_quickly:  # what is left out is no part of the key
        provenance |= _absences(layout.listing())
    store = dataclasses.replace(store, provenance=provenance)
    if recipe.skip_broken:
        return store
    if skipped := skipped_images(store):
        raise _broken_error(layout, skipped, len(store.images) + len(skipped), recipe)
    if empty_classes(store):
        raise _empty_error(layout, layout.listing())
    return store


def notes_on(store: ImageStore) -> list[str]:
    """What people must know of a store: what was left out or changed, and missing splits."""
    name = store.provenance.get("source", store.folder)
    left_out = dict(store.provenance.get("left_out", {}))
    if skipped := list(skipped_images(store)):
        left_out[BROKEN] = len(skipped), skipped
    if empty := empty_classes(store):
        left_out[EMPTY] = len(empty), empty
    words = left_out_note(left_out)
    notes = [f"{name}: left out {words}"] if words else []
    changed = store.provenance.get("changed_levels", {})
    notes += [f"{name}: {note}" for note in changes_notes(changed, len(store.images))]
    if words := subfolders_note(_files_by_class(store)):
        notes.append(f"{name}: {words}")
    if store.splits and (missing := [split for split in SPLITS if split not in store.splits]):
        notes.append(f"{name}: has no {' and no '.join(missing)} classes of its own")
    return notes


def subfolders_note(classes: Iterable[tuple[str, Sequence[str]]]) -> str:
    """Says that every class has several subfolders and no image outside of them, else "".

    Then perhaps these were meant to be the classes.

    Args:
      classes: (name, the names of its images within it).
    """
    found: list[str] = []
    for label, files in classes:
        inner = {PurePosixPath(file).parts[0] for file in files if "/" in file}
        if len(inner) < 2 or not all("/" in file for file in files):
            return ""
        found += [f"{label}/{name}" for name in sorted(inner)]
    shown = one_line(first_few(found, SHOWN))
    return f"every class holds subfolders ({shown}), which count as one class" if found else ""


def _files_by_class(store: ImageStore) -> Iterator[tuple[str, tuple[str, ...]]]:
    ends = np.cumsum(store.counts).tolist()
    all_files: tuple[str, ...] = ()
    with contextlib.suppress(UserError):  # only a note needs the names
        all_files = store.files
    for label, start, end in zip(store.names, [0, *ends], ends, strict=False):
        yield label, all_files[start:end]


def skipped_images(store: ImageStore) -> Mapping[str, str]:
    """File -> reason, of the images that were broken when the store was imported."""
    return store.provenance.get("skipped", {})


def empty_classes(store: ImageStore) -> tuple[str, ...]:
    """The classes that had no image when the store was imported; it lacks them."""
    return tuple(store.provenance.get("empty_classes", ()))


def _write(
    folder: Path,
    layout: Layout,
    items: Sequence[Item],
    index: StoreIndex,
    decode: Decode,
) -> None:
    """Writes the store of all `items`; raises _Broken, and leaves no store, where it cannot."""
    row_of = {item.key: row for row, item in enumerate(items)}
    seen = np.zeros(len(items), bool)

    def rows() -> Iterator[tuple[int, Content]]:
        for key, content in layout.contents(row_of.keys()):
            seen[row_of[key]] = True
            yield row_of[key], content

    def fill(pixels: np.ndarray) -> dict[str, Any]:
        form = PixelForm(index.image_shape[0], index.image_shape[2])
        reasons, changed = decode_into(pixels, rows(), form, decode)
        reasons |= dict.fromkeys(np.flatnonzero(~seen).tolist(), ABSENT)
        if reasons:
            raise _Broken({items[row]: reason for row, reason in sorted(reasons.items())})
        files: dict[str, list[str]] = {}
        for row, changes in sorted(changed.items()):
            for change in changes:
                files.setdefault(change, []).append(items[row].key)
        return {"changed_levels": with_counts(files)}

    write_store(folder, index, fill)


def _index(
    items: Sequence[Item], form: PixelForm, max_value: int, provenance: Mapping[str, Any]
) -> StoreIndex:
    """The table of classes of sorted items."""
    names: list[str] = []
    counts: list[int] = []
    splits: dict[str, list[int]] = {}
    for (split, label), group in groupby(items, key=lambda item: (item.split, item.label)):
        if split:
            splits.setdefault(split, []).append(len(names))
        names.append(label)
        counts.append(len(list(group)))
    return StoreIndex(
        names=tuple(names),
        counts=tuple(counts),
        image_shape=form.shape,
        max_value=max_value,
        splits=splits,
        provenance=provenance,
        files=tuple(item.file for item in items),
    )


def _provenance(layout: Layout, listing: Listing, skipped: Mapping[Item, str]) -> dict[str, Any]:
    """What is to be remembered of how a store came about."""
    per_class = Counter(item.label for item in skipped)
    return {
        "layout": layout.kind,
        "source": layout.root.resolve().name,
        "skipped": _by_key(skipped),
        "skipped_per_class": dict(sorted(per_class.items())),
        **_absences(listing),
    }


def _absences(listing: Listing) -> dict[str, Any]:
    """What a layout has no images of, or holds beside them."""
    return {
        "empty_classes": list(listing.empty),
        "left_out": with_counts(listing.left_out),
    }


def _refuse_senseless(
    layout: Layout, listing: Listing, items: Sequence[Item], recipe: Recipe
) -> None:
    if not items:
        words = f"holds no image in the layout of {layout.kind}{passed_over(listing.left_out)}"
        raise UserError(f"{layout.root}: {words}")
    if listing.empty and not recipe.skip_broken:
        raise _empty_error(layout, listing)
    if splits := {item.split for item in items} - {""}:
        require_training(splits, layout.root, "images")
    elif recipe.divided:
        raise UserError(
            f"{layout.root}: its classes are not divided into train, val and test, as those of "
            "Mini-ImageNet are; reptile train divides them"
        )
    splits_of: dict[str, set[str]] = {}
    for item in items:
        splits_of.setdefault(item.label, set()).add(item.split)
    if twice := sorted(label for label, splits in splits_of.items() if len(splits) > 1):
        raise UserError(
            f"{layout.root}: the same class in more than one of train, val and test: "
            f"{_some(twice)}; meta-learning tests on classes that training never saw"
        )


def _by_key(reasons: Mapping[Item, str]) -> dict[str, str]:
    return {item.key: reason for item, reason in reasons.items()}


def _broken_error(
    layout: Layout, reasons: Mapping[str, str], total: int, recipe: Recipe
) -> UserError:
    keys_of: dict[str, list[str]] = {}
    for key, reason in reasons.items():
        keys_of.setdefault(reason, []).append(key)
    named = "; ".join(f"{_some(keys)} ({reason})" for reason, keys in keys_of.items())
    are = "is" if len(reasons) == 1 else "are"
    return UserError(
        f"{layout.root}: {len(reasons):,} of {counted(total, 'image')} {are} broken: {named}; "
        f"{recipe.remedy}"
    )


def _empty_error(layout: Layout, listing: Listing) -> UserError:
    return UserError(
        f"{layout.root}: no image in the class {_some(listing.empty)}"
        f"{passed_over(listing.left_out)}; "
        "put images there, remove it, or leave it out with --skip-broken"
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
