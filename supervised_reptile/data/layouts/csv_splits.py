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

from supervised_reptile.data.layouts.archives import class_tars, open_archive
from supervised_reptile.data.layouts.layout import (
    SPLITS,
    BrokenImage,
    Content,
    Item,
    Listing,
    by_split,
)
from supervised_reptile.data.layouts.list_folder import DiskFolder, files_in, is_never_data, walk
from supervised_reptile.errors import UserError

HEADER = "filename,label"
RANKED_NAME = re.compile(r"(?P<label>n\d{8})(?P<rank>\d{8})\.\w+")
IMAGENET_NAME = re.compile(r"(?P<label>n\d{8})_(?P<number>\d+)\.\w+")


@dataclass(frozen=True)
class CsvImages:
    """The CSVs beside a folder or archive of images, in folders of classes or not."""

    root: Path
    csvs: Mapping[str, Path]  # split -> CSV
    images: Path  # `images/`, or an archive of it
    kind = "CSVs beside images"
    listed_quickly = True

    def files(self) -> list[Path]:
        """The CSVs and the images, or their archive."""
        paths = [self.images / name for name in self._names()]
        return [*self.csvs.values(), *(paths or [self.images])]

    def listing(self) -> Listing:
        """From the CSVs alone; UserError where one has a malformed row."""
        return Listing(tuple(_rows(self.csvs)))

    def contents(self, keys: Collection[str]) -> Iterator[tuple[str, Content]]:
        """In the CSVs' order from a folder, in the archive's order from an archive."""
        if self.images.is_dir():
            for name, wanted in _names_of_keys(self._names(), keys).items():
                yield from ((key, self.images / name) for key in wanted)
            return
        with open_archive(self.images) as members:
            keys_of = _names_of_keys(filter(_may_be_listed, members), keys)
            for name, read in members.items():
                if name in keys_of:
                    content = read()
                    yield from ((key, content) for key in keys_of[name])

    def _names(self) -> list[str]:
        return list(walk(DiskFolder(self.images))) if self.images.is_dir() else []


@dataclass(frozen=True)
class IlsvrcTar:
    """The three CSVs beside `ILSVRC2012_img_train.tar`, a tar of one tar for each class."""

    root: Path
    csvs: Mapping[str, Path]  # split -> CSV
    tar: Path
    kind = "CSVs beside ILSVRC2012_img_train.tar"
    listed_quickly = True

    def files(self) -> list[Path]:
        """The CSVs and the tar."""
        return [*self.csvs.values(), self.tar]

    def listing(self) -> Listing:
        """From the CSVs alone: the tar has 138 GB."""
        return Listing(tuple(_rows(self.csvs)))

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


def split_csvs(folder: Path) -> Mapping[str, Path]:
    """Split -> CSV, of the CSVs in `folder`; none without one for train and another."""
    csvs = [(path.stem, path) for path in files_in(folder) if path.suffix.lower() == ".csv"]
    found = by_split(csvs, folder)
    return found if "train" in found and len(found) > 1 else {}


def divides_classes(csvs: Mapping[str, Path]) -> bool:
    """Whether they are of our form, and give every class to one split alone."""
    try:
        pairs = {(item.label, item.split) for item in _rows(csvs)}
    except UserError:
        return False
    return 0 < len(pairs) == len({label for label, _ in pairs})


def _rows(csvs: Mapping[str, Path]) -> Iterator[Item]:
    """The rows of the CSVs as items whose key is `<class>/<file>`."""
    for split in sorted(csvs, key=SPLITS.index):
        path = csvs[split]
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                table = list(csv.reader(file))
        except (OSError, ValueError, csv.Error) as error:
            raise UserError(f"{path}: not a readable CSV file ({error})") from error
        if table[:1] != [HEADER.split(",")]:
            raise UserError(f"{path}: must start with the line `{HEADER}`")
        for number, row in enumerate(table[1:], start=2):
            if not row:  # an empty line
                continue
            if len(row) != 2 or not all(row) or "/" in row[1]:
                raise UserError(f"{path}: line {number} is not `{HEADER}`")
            yield Item(split, row[1], row[0], f"{row[1]}/{row[0]}")


def _names_of_keys(names: Iterable[str], keys: Iterable[str]) -> Mapping[str, list[str]]:
    """Which of the files present each wanted `<class>/<file>` means: name -> keys.

    `names` are paths. A file in a folder of the class counts before others of its name. Keys that
    mean none of the files, or more than one, are left out.
    """
    by_end: dict[str, list[str]] = {}  # one, two, ... last parts of a path without ending -> paths
    for name in names:
        parts = PurePosixPath(name).with_suffix("").parts
        for start in range(len(parts)):
            by_end.setdefault("/".join(parts[start:]), []).append(name)
    ranked = _imagenet_order(names)
    found: dict[str, list[str]] = {}
    for key in sorted(keys):
        file = key.split("/", 1)[1]
        ends = (str(PurePosixPath(end).with_suffix("")) for end in (key, file))
        those = next((by_end[end] for end in ends if end in by_end), [])
        if not those and (match := RANKED_NAME.fullmatch(file)):
            in_order = ranked.get(match["label"], [])
            rank = int(match["rank"])
            those = in_order[rank - 1 : rank] if rank else []
        if len(those) > 1:
            those = [name for name in those if f"/{name}".endswith(f"/{file}")]
        if len(those) == 1:
            found.setdefault(those[0], []).append(key)
    return found


def _may_be_listed(member: str) -> bool:
    return not any(map(is_never_data, PurePosixPath(member).parts))


def _imagenet_order(names: Iterable[str]) -> dict[str, list[str]]:
    """Class -> paths of its images under ImageNet's names, sorted by number (not as text)."""
    matches = [(IMAGENET_NAME.fullmatch(PurePosixPath(name).name), name) for name in names]
    found = [(int(match["number"]), match["label"], name) for match, name in matches if match]
    order: dict[str, list[str]] = {}
    for _, label, name in sorted(found):
        order.setdefault(label, []).append(name)
    return order
