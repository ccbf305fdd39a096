"""Ravi and Larochelle's train.csv, val.csv and test.csv, beside the images they name.

A row is `n0153282900000005.jpg,n01532829`: the image and its class. The images are either
called as in the rows, or as ImageNet calls them, `n01532829_10034.JPEG`. For those the
row's number counts: 00000005 is the FIFTH image of the class (1 is the first) when all of
the class's images in the ILSVRC 2012 training set are sorted by the number after the
underscore. This is the rule by which the field rebuilt Mini-ImageNet from ImageNet
(gitabcworld/FewShotLearning, yaoyao-liu/mini-imagenet-tools).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from supervised_reptile.data.archives import class_tars, open_archive
from supervised_reptile.data.folders import files_in
from supervised_reptile.data.items import SPLITS, BrokenImage, Content, Item, Listing
from supervised_reptile.errors import UserError

RANKED_NAME = re.compile(r"(?P<label>n\d{8})(?P<rank>\d{8})\.\w+")
IMAGENET_NAME = re.compile(r"(?P<label>n\d{8})_(?P<number>\d+)\.\w+")


@dataclass(frozen=True)
class CsvImages:
    """The three CSVs beside a flat folder or archive of images."""

    root: Path
    images: Path  # `images/`, or an archive of it
    kind = "CSVs beside images"

    def files(self) -> list[Path]:
        """The CSVs and the images, or their archive."""
        return [*_csv_files(self.root), *(self._flat() or [self.images])]

    def listing(self) -> Listing:
        """From the CSVs alone; UserError where one has a malformed row."""
        return Listing(tuple(_rows(self.root)))

    def contents(self, keys: Collection[str]) -> Iterator[tuple[str, Content]]:
        """In the CSVs' order from a folder, in the archive's order from an archive."""
        if self.images.is_dir():
            paths = {path.name: path for path in self._flat()}
            for name, wanted in _names_of_keys(paths, keys).items():
                yield from ((key, paths[name]) for key in wanted)
            return
        with open_archive(self.images) as members:
            names = {PurePosixPath(member).name: member for member in members}
            keys_of = _names_of_keys(names, keys)
            for name, member in names.items():
                if name in keys_of:
                    content = members[member]()
                    yield from ((key, content) for key in keys_of[name])

    def _flat(self) -> list[Path]:
        return files_in(self.images) if self.images.is_dir() else []


@dataclass(frozen=True)
class IlsvrcTar:
    """The three CSVs beside `ILSVRC2012_img_train.tar`, a tar of one tar for each class."""

    root: Path
    tar: Path
    kind = "CSVs beside ILSVRC2012_img_train.tar"

    def files(self) -> list[Path]:
        """The CSVs and the tar."""
        return [*_csv_files(self.root), self.tar]

    def listing(self) -> Listing:
        """From the CSVs alone: the tar has 138 GB."""
        return Listing(tuple(_rows(self.root)))

    def contents(self, keys: Collection[str]) -> Iterator[tuple[str, Content]]:
        """One walk through the tar, reading the wanted images of the wanted classes only."""
        keys_of_class: dict[str, list[str]] = {}
        for key in keys:
            keys_of_class.setdefault(key.split("/")[0], []).append(key)
        for label, members in class_tars(self.tar, keys_of_class):
            keys_of = _names_of_keys(members, keys_of_class[label])
            for name, read in members.items():
                if name in keys_of:
                    content: bytes | BrokenImage = read()
                    yield from ((key, content) for key in keys_of[name])


def has_csvs(folder: Path) -> bool:
    """Whether all three CSVs lie in `folder`."""
    return all(path.is_file() for path in _csv_files(folder))


def _csv_files(folder: Path) -> list[Path]:
    return [folder / f"{split}.csv" for split in SPLITS]


def _rows(root: Path) -> Iterator[Item]:
    """The rows of the three CSVs as items whose key is `<class>/<file>`."""
    for split, path in zip(SPLITS, _csv_files(root), strict=True):
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                table = list(csv.reader(file))
        except (OSError, ValueError, csv.Error) as error:
            raise UserError(f"{path}: not a readable CSV file ({error})") from error
        if table[:1] != [["filename", "label"]]:
            raise UserError(f"{path}: must start with the line `filename,label`")
        for number, row in enumerate(table[1:], start=2):
            if len(row) != 2 or not all(row) or "/" in "".join(row):
                raise UserError(f"{path}: line {number} is not `filename,label`")
            yield Item(split, row[1], row[0], f"{row[1]}/{row[0]}")


def _names_of_keys(names: Iterable[str], keys: Iterable[str]) -> Mapping[str, list[str]]:
    """Which of the files present each wanted `<class>/<file>` means: name -> keys.

    Keys that mean none of the files are left out.
    """
    by_stem = {PurePosixPath(name).stem: name for name in names}
    ranked = _imagenet_order(by_stem.values())
    found: dict[str, list[str]] = {}
    for key in sorted(keys):
        file = key.split("/")[1]
        name = by_stem.get(PurePosixPath(file).stem)
        if name is None and (match := RANKED_NAME.fullmatch(file)):
            in_order = ranked.get(match["label"], [])
            rank = int(match["rank"])
            name = in_order[rank - 1] if 1 <= rank <= len(in_order) else None
        if name is not None:
            found.setdefault(name, []).append(key)
    return found


def _imagenet_order(names: Iterable[str]) -> dict[str, list[str]]:
    """Class -> its images under ImageNet's names, sorted by number (not as text)."""
    matches = [match for name in names if (match := IMAGENET_NAME.fullmatch(name))]
    order: dict[str, list[str]] = {}
    for match in sorted(matches, key=lambda match: int(match["number"])):
        order.setdefault(match["label"], []).append(match.string)
    return order
