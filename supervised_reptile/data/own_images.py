"""Your own images: any folder of class folders, of any size, colour and Pillow format."""

from __future__ import annotations

import dataclasses
import random
import shlex
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from supervised_reptile.data.import_layout import Recipe, cached_layout
from supervised_reptile.data.layouts.decode_image import DECODER, PixelForm, open_image
from supervised_reptile.data.layouts.find_layout import find_layout
from supervised_reptile.data.layouts.layout import SPLITS, BrokenImage, Content, Layout, Listing
from supervised_reptile.data.omniglot import holds_alphabets
from supervised_reptile.data.store import ImageStore
from supervised_reptile.errors import UserError, counted
from supervised_reptile.system.thread_pool import cores, map_ahead

LARGEST_DEFAULT = 84  # pixels a side, as Mini-ImageNet; smaller images keep their size
GREY_MODES = ("1", "L", "LA", "La", "F")

SHARES = (0.64, 0.16, 0.2)  # of the classes: train, val and test

Header = tuple[tuple[int, int], bool]  # ((width, height), whether it is grey)


def open_folder(
    path: Path,
    image_size: int | None = None,
    grey: bool | None = None,
    split: Sequence[float] = SHARES,
    seed: int = 0,
    skip_broken: bool = False,
) -> ImageStore:
    """The images below `path` as a store with the splits train, val and test.

    `path` holds class folders of images, which `split_classes` divides, or any layout that brings
    its own splits (`layouts.find_layout`). The decoded images are kept in the user's
    cache; the division is computed again from `split` and `seed` and not part of the checksum.

    Args:
      image_size: height and width of all images; None keeps a square size that all
        share, up to 84, and is 84 otherwise.
      grey: one channel instead of three; None is for grey where every image is.
      split: shares of the classes for train, val and test; ready splits take SHARES alone.

    Raises:
      UserError: no images there, broken ones or empty classes (unless `skip_broken`),
        too few classes, shares that do not add up to 1, or shares for ready folders.
    """
    store = open_undivided(path, image_size, grey, skip_broken)
    if store.splits and tuple(split) != SHARES:
        raise UserError(
            f"{path}: its classes are divided into {', '.join(store.splits)} already; leave "
            f"--split {','.join(f'{share:g}' for share in split)} out"
        )
    if store.splits:
        return store
    return dataclasses.replace(store, splits=split_classes(path, store.names, split, seed))


def open_undivided(
    path: Path,
    image_size: int | None = None,
    grey: bool | None = None,
    skip_broken: bool = False,
) -> ImageStore:
    """As `open_folder`, but without splits unless `path` has ready ones."""

    layout = own_layout(path)

    def form(listing: Listing) -> PixelForm:
        if image_size is not None and grey is not None:
            return PixelForm(image_size, 1 if grey else 3)
        return _common_form(_headers(layout, listing), image_size, grey)

    colour = {None: "auto", True: "grey", False: "colour"}[grey]
    return cached_layout(
        layout, Recipe(form, f"folder-{image_size}-{colour}-{DECODER}", skip_broken)
    )


def own_layout(path: Path) -> Layout:
    """The images of classes at `path`; UserError where there are none."""
    if not path.exists():
        raise UserError(f"{path}: no such folder; name one that holds a folder for each class")
    if holds_alphabets(path):
        raise UserError(
            f"{path}: holds alphabets of characters, which are classes of their own; "
            f"train with reptile omniglot --data-dir {shlex.quote(str(path))}"
        )
    if layout := find_layout(path):
        return layout
    raise UserError(f"{path}: no class folders in it; put the images of each class in one")


def split_classes(
    path: Path, names: Sequence[str], shares: Sequence[float], seed: int
) -> dict[str, np.ndarray]:
    """Split -> class indices, int64 and ascending, drawn by `random.Random(seed).shuffle`.

    Every split with a share above 0 gets one class at least; `path` is for messages.

    Raises:
      UserError: `shares` are not three numbers that add up to 1, or too few classes.
    """
    if len(shares) != len(SPLITS) or min(shares) < 0 or not abs(sum(shares) - 1) <= 1e-6:
        raise UserError(
            f"--split {','.join(map(str, shares))}: give three shares, for train, val and test, "
            "that add up to 1"
        )
    needed = sum(share > 0 for share in shares)
    if len(names) < needed:
        raise UserError(
            f"{path}: {counted(len(names), 'class')} cannot be divided among "
            f"{counted(needed, 'split')}; "
            "add classes"
        )
    order = list(range(len(names)))
    random.Random(seed).shuffle(order)
    ends = np.cumsum(_class_counts(len(names), shares))
    parts = np.split(np.array(order, np.int64), ends[:-1])
    return {split: np.sort(part) for split, part in zip(SPLITS, parts, strict=True)}


def _class_counts(classes: int, shares: Sequence[float]) -> np.ndarray:
    """Whole numbers of classes nearest to the shares, at least 1 where the share is not 0."""
    wanted = classes * np.asarray(shares)
    counts = np.where(wanted > 0, np.maximum(np.rint(wanted), 1), 0).astype(np.int64)
    while (excess := counts.sum() - classes) != 0:
        surplus = np.where(counts > 1, counts - wanted, -np.inf) if excess > 0 else wanted - counts
        counts[np.argmax(surplus)] -= np.sign(excess)
    return counts


def _common_form(headers: Sequence[Header], size: int | None, grey: bool | None) -> PixelForm:
    sizes = {size for size, _ in headers}
    if size is None:
        width, height = sizes.pop() if len(sizes) == 1 else (0, 0)
        size = width if 0 < width == height <= LARGEST_DEFAULT else LARGEST_DEFAULT
    if grey is None:
        grey = bool(headers) and all(is_grey for _, is_grey in headers)
    return PixelForm(size, 1 if grey else 3)


def _headers(layout: Layout, listing: Listing) -> list[Header]:
    """What the images' headers say; broken images are left for decoding to report."""
    contents = (content for _, content in layout.contents({item.key for item in listing.items}))
    with ThreadPoolExecutor(cores()) as pool:
        return [header for header in map_ahead(pool, _header, contents) if header]


def _header(content: Content) -> Header | None:
    try:
        if isinstance(content, BrokenImage):
            return None
        with open_image(content) as image:
            return image.size, _is_grey(image)
    except Exception:  # of whatever kind: see `decode`
        return None


def _is_grey(image: Image.Image) -> bool:
    return image.mode in GREY_MODES or image.mode.startswith("I")
