"""The words all importers share: an item, its content, a listing, a layout."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from supervised_reptile.errors import UserError

SPLITS = ("train", "val", "test")
# What people call the three parts on disk -> what we call them.
SPLIT_OF = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


class BrokenImage(Exception):  # noqa: N818 - it is the reason, and passed around as a value
    """Why one image cannot be used, in words that complete "FILE: ..."."""


# One image as a layout hands it over: encoded bytes, a file, pixels uint8 [height, width, 3],
# or the reason why it cannot be had.
Content = bytes | Path | np.ndarray | BrokenImage


@dataclass(frozen=True)
class Item:
    """One image of a data set, named but not yet read."""

    split: str  # of SPLITS; "" where the classes are not divided yet
    label: str  # its class: a WordNet id, a folder's name
    file: str  # its name within the class, by which the images of a class are sorted
    key: str  # where its layout finds it: unique, and shown in messages

    def order(self) -> tuple[int, str, str]:
        """Sorts by split, class and file: never by the file system's listing order."""
        return (SPLITS.index(self.split) if self.split else 0, self.label, self.file)


@dataclass(frozen=True)
class Listing:
    """What a layout holds, by name."""

    items: tuple[Item, ...]
    empty: tuple[str, ...] = ()  # classes without a single image
    ignored: tuple[str, ...] = ()  # files that are no images by their names; hidden ones left out


class Layout(Protocol):
    """One way in which a data set lies on disk."""

    @property
    def kind(self) -> str:
        """In words: "train/val/test folders"."""
        ...

    @property
    def root(self) -> Path:
        """All `files()` lie below it, or it is the only one; named in messages."""
        ...

    def files(self) -> list[Path]:
        """The files whose names, sizes and times decide what the layout holds."""
        ...

    def listing(self) -> Listing:
        """Everything it holds, from names alone; raises UserError where they make no sense."""
        ...

    def contents(self, keys: Collection[str]) -> Iterator[tuple[str, Content]]:
        """(key, content) of the items asked for, in the order in which they lie on disk.

        Each content is good for any thread and at any later time. Items that turn out
        not to be there are left out.
        """
        ...


def require_splits(found: Collection[str], root: Path, what: str) -> None:
    """Raises UserError unless all three splits were found below `root` as `what`."""
    if missing := [split for split in SPLITS if split not in found]:
        have = " and ".join(split for split in SPLITS if split in found)
        raise UserError(
            f"{root}: has {what} for {have} but not for {' and '.join(missing)}; "
            "all of train, val and test are needed"
        )


def foreign_content(head: bytes) -> str | None:
    """What a file is that was to be an image or an archive, from its first bytes, if we know."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        return "it is empty"
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml")):
        return "it is an HTML page: the download went wrong"
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the file itself: run `git lfs pull`"
    return None
