"""The three `mini-imagenet-cache-{train,val,test}.pkl` pickles, 84x84 images already decoded."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from supervised_reptile.data.folders import files_in
from supervised_reptile.data.items import SPLIT_OF, Content, Item, Listing
from supervised_reptile.data.safe_pickle import PickledArray, load_pickle
from supervised_reptile.errors import UserError

PICKLE_NAME = re.compile(r"mini-imagenet-cache-(train|val|validation|test)\.pkl")


@dataclass(frozen=True)
class CachePickles:
    """One pickle a split, each read whole (a gigabyte for train), one after the other."""

    root: Path
    pickles: Mapping[str, Path]  # split -> file
    kind = "mini-imagenet-cache pickles"

    def files(self) -> list[Path]:
        """The pickles."""
        return list(self.pickles.values())

    def listing(self) -> Listing:
        """Loads each pickle for its table of classes; UserError where it is not as it should be."""
        return Listing(
            tuple(
                Item(split, label, _file(index), f"{path.name}#{_file(index)}")
                for split, path in self.pickles.items()
                for label, indices in load_cache(path)[1].items()
                for index in indices
            )
        )

    def contents(self, keys: Collection[str]) -> Iterator[tuple[str, Content]]:
        """In the order of the images in the pickles."""
        wanted = frozenset(keys)
        for path in self.pickles.values():
            yield from _wanted_images(path, wanted)


def cache_pickles(folder: Path) -> Mapping[str, Path]:
    """Split -> pickle, of the pickles in `folder` that are called like the known ones."""
    found = {}
    for path in files_in(folder):
        if match := PICKLE_NAME.fullmatch(path.name):
            found[SPLIT_OF[match[1]]] = path
    return found


def load_cache(path: Path) -> tuple[np.ndarray, dict[str, list[int]]]:
    """(images uint8 [images, height, width, 3], class -> indices of its images).

    Raises:
      UserError: it is not readable, not safe, or not of this form.
    """
    loaded = load_pickle(path)
    named = loaded.items() if isinstance(loaded, dict) else ()
    content = {_name(key): value for key, value in named}
    images, classes = content.get("image_data"), content.get("class_dict")
    if not isinstance(images, PickledArray) or not isinstance(classes, dict):
        raise UserError(f"{path}: holds no arrays `image_data` and `class_dict`")
    pixels = images.array
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3:
        raise UserError(
            f"{path}: its image_data is {pixels.dtype} {list(pixels.shape)}, "
            "not uint8 [images, height, width, 3]"
        )
    table = {_name(label): _indices(value, path) for label, value in classes.items()}
    used = sorted(index for indices in table.values() for index in indices)
    if len(set(used)) < len(used) or (used and not 0 <= used[0] <= used[-1] < len(pixels)):
        raise UserError(f"{path}: its class_dict names images twice or beyond the last one")
    return pixels, table


def _wanted_images(path: Path, wanted: Collection[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Copies, so that nothing keeps the whole array alive while the next pickle is read."""
    for index, image in enumerate(load_cache(path)[0]):
        if (key := f"{path.name}#{_file(index)}") in wanted:
            yield key, image.copy()


def _indices(value: Any, path: Path) -> list[int]:
    sequence = value.array.ravel().tolist() if isinstance(value, PickledArray) else value
    plain = isinstance(sequence, list | tuple | range)
    if not plain or not all(isinstance(index, int) for index in sequence):
        raise UserError(f"{path}: its class_dict holds something other than lists of indices")
    return list(sequence)


def _name(key: Any) -> str:
    return key.decode("utf8", "replace") if isinstance(key, bytes) else str(key)


def _file(index: int) -> str:
    """Stands for a file name, which the pickles lack; sorts by index."""
    return f"{index:06d}"
