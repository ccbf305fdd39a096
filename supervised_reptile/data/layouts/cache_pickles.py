"""Mini-ImageNet as three pickles, one for each split: images already decoded to 84x84.

The two forms that people have: `mini-imagenet-cache-{train,val,test}.pkl`, and
`miniImageNet_category_split_{train_phase_train,val,test}.pickle`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from supervised_reptile.data.layouts.layout import Content, Item, Listing, split_of
from supervised_reptile.data.layouts.list_folder import files_in
from supervised_reptile.data.layouts.safe_pickle import PickledArray, load_pickle
from supervised_reptile.errors import UserError

PICKLE_NAMES = (
    re.compile(r"mini-imagenet-cache-(\w+)\.(?:pkl|pickle)", re.IGNORECASE),
    # Gidaris and Komodakis (2018). "train_phase" says when they use it, and of train_phase_train
    # there are train_phase_val and train_phase_test, other images of the same classes.
    re.compile(r"miniImageNet_category_split_(train(?=_phase_train)|val|test)"
               r"(?:_phase_train)?\.(?:pkl|pickle)", re.IGNORECASE),
)  # fmt: skip
SAME_CLASSES = re.compile(
    r"miniImageNet_category_split_train_phase_(?:val|test)\.(?:pkl|pickle)", re.IGNORECASE
)
MORE_OF_TRAINING = "pickle{s} with more images of training classes"


@dataclass(frozen=True)
class SplitPickles:
    """One pickle a split, each read whole (a gigabyte for train), one after the other."""

    root: Path
    pickles: Mapping[str, Path]  # split -> file
    kind = "Mini-ImageNet's pickles"
    listed_quickly = False

    def files(self) -> list[Path]:
        """The pickles."""
        return list(self.pickles.values())

    def listing(self) -> Listing:
        """Loads each pickle for its table of classes; UserError where it is not as it should be."""
        more = [path.name for path in files_in(self.root) if SAME_CLASSES.fullmatch(path.name)]
        return Listing(
            tuple(
                Item(split, label, _file(index), f"{path.name}#{_file(index)}")
                for split, path in self.pickles.items()
                for label, indices in load_images(path)[1].items()
                for index in indices
            ),
            left_out={MORE_OF_TRAINING: more} if more else {},
        )

    def contents(self, keys: Collection[str]) -> Iterator[tuple[str, Content]]:
        """In the order of the images in the pickles."""
        wanted = frozenset(keys)
        for path in self.pickles.values():
            yield from _wanted_images(path, wanted)


def split_pickles(paths: Iterable[Path]) -> list[tuple[str, Path]]:
    """(name of its split, pickle) of those `paths` that are called like the known ones."""
    matches = ((pattern.fullmatch(path.name), path) for path in paths for pattern in PICKLE_NAMES)
    return [(match[1], path) for match, path in matches if match and split_of(match[1])]


def load_images(path: Path) -> tuple[np.ndarray, dict[str, list[int]]]:
    """(images uint8 [images, height, width, 3], class -> indices of its images).

    Raises:
      UserError: it is not readable, not safe, or not of one of the two forms.
    """
    loaded = load_pickle(path)
    named = loaded.items() if isinstance(loaded, dict) else ()
    content = {_name(key): value for key, value in named}
    name = "image_data" if "image_data" in content else "data"
    images = content.get(name)
    if not isinstance(images, PickledArray) or not {"class_dict", "labels"} & content.keys():
        raise UserError(
            f"{path}: holds no arrays `image_data` and `class_dict`, nor `data` and `labels`"
        )
    pixels = images.array
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3:
        raise UserError(
            f"{path}: its {name} is {pixels.dtype} {list(pixels.shape)}, "
            "not uint8 [images, height, width, 3]"
        )
    if "class_dict" in content:
        return pixels, _class_dict(content["class_dict"], len(pixels), path)
    return pixels, _labelled(content, len(pixels), path)


def _class_dict(classes: Any, count: int, path: Path) -> dict[str, list[int]]:
    if not isinstance(classes, dict):
        raise UserError(f"{path}: its class_dict is no table of classes")
    what = "class_dict holds something other than lists of indices"
    table = {_name(label): _integers(value, path, what) for label, value in classes.items()}
    used = sorted(index for indices in table.values() for index in indices)
    if len(set(used)) < len(used) or (used and not 0 <= used[0] <= used[-1] < count):
        raise UserError(f"{path}: its class_dict names images twice or beyond the last one")
    return table


def _labelled(content: Mapping[str, Any], count: int, path: Path) -> dict[str, list[int]]:
    """By the number that each image has as its label, and the number's name where there is one."""
    labels = _integers(content["labels"], path, "labels are something other than integers")
    if len(labels) != count:
        raise UserError(f"{path}: has {len(labels):,} labels for {count:,} images")
    numbered = content.get("catname2label")
    pairs = numbered.items() if isinstance(numbered, dict) else ()
    names = {number: _name(name) for name, number in pairs if isinstance(number, int)}
    if not names.keys() >= set(labels):
        names = {number: f"class {number:03d}" for number in set(labels)}
    table: dict[str, list[int]] = {}
    for index, number in enumerate(labels):
        table.setdefault(names[number], []).append(index)
    return table


def _wanted_images(path: Path, wanted: Collection[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Copies, so that nothing keeps the whole array alive while the next pickle is read."""
    for index, image in enumerate(load_images(path)[0]):
        if (key := f"{path.name}#{_file(index)}") in wanted:
            yield key, image.copy()


def _integers(value: Any, path: Path, otherwise: str) -> list[int]:
    sequence = value.array.ravel().tolist() if isinstance(value, PickledArray) else value
    plain = isinstance(sequence, list | tuple | range)
    if not plain or not all(isinstance(number, int) for number in sequence):
        raise UserError(f"{path}: its {otherwise}")
    return list(sequence)


def _name(key: Any) -> str:
    return key.decode("utf8", "replace") if isinstance(key, bytes) else str(key)


def _file(index: int) -> str:
    """Stands for a file name, which the pickles lack; sorts by index."""
    return f"{index:06d}"
