"""The words all importers share: an item, its content, a listing, a layout."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from supervised_reptile.errors import UserError, one_line

T = TypeVar("T")
SPLITS = ("train", "val", "test")
# What people call the three parts on disk, in small letters and without "-", "_" and " ".
SPLIT_NAMED = {
    **dict.fromkeys(("train", "training", "base"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "novel"), "test"),
}
SPLIT_NAME = re.compile(
    f"(?:meta)?({'|'.join(SPLIT_NAMED)})(?:set|split|images|imgs|data|classes)?"
)

# Why files are left out, in words that complete "left out 3 ...".
NO_FORMAT = "file{s} of no image format"
BESIDE_CLASSES = "image{s} beside the class folders"
OUTSIDE_SPLITS = "image{s} outside the folders of the splits"
WITHOUT_CLASSES = "image{s} in FOLDER, which holds no class folders"
BROKEN = "broken image{s}"
EMPTY = "class{es} without an image"
NAMED = 20  # of broken or other files in an error, and of the left out in a store
SHOWN = 3  # names of files that a note gives for each reason


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

    def order(self) -> tuple[int, list[str], str, str]:
        """Sorts by split, class and file: never by the file system's listing order."""
        split = SPLITS.index(self.split) if self.split else 0
        return split, self.label.split("/"), self.file, self.key


@dataclass(frozen=True)
class Listing:
    """What a layout holds, by name."""

    items: tuple[Item, ...]
    empty: tuple[str, ...] = ()  # classes without a single image
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)  # reason -> files


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

    @property
    def listed_quickly(self) -> bool:
        """Whether `listing()` takes no longer than `files()`."""
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


def split_of(name: str) -> str | None:
    """The split that a folder or file of this name stands for, if it does."""
    match = SPLIT_NAME.fullmatch(re.sub(r"[-_ ]", "", name.lower()))
    return SPLIT_NAMED[match[1]] if match else None


def by_split(named: Iterable[tuple[str, T]], root: Path) -> dict[str, T]:
    """Split -> what stands for it, of (name, thing); other names are left out.

    Raises:
      UserError: two stand for the same split.
    """
    found: dict[str, T] = {}
    names: dict[str, str] = {}
    for name, thing in named:
        if split := split_of(name):
            if split in found:
                raise UserError(
                    f"{root}: {names[split]} and {name} both stand for {split}; move one away"
                )
            found[split], names[split] = thing, name
    return found


def require_training(found: Collection[str], root: Path, what: str) -> None:
    """Raises UserError unless train and another split were found below `root` as `what`."""
    if "train" not in found or len(found) < 2:
        have = " and ".join(split for split in SPLITS if split in found)
        lacks = "train" if "train" not in found else "val or test"
        raise UserError(
            f"{root}: has {what} for {have} but not for {lacks}; "
            "train is needed, and val or test or both"
        )


def left_out_note(counted: Mapping[str, tuple[int, Sequence[str]]]) -> str | None:
    """One line that says how many files were left out and why, by (how many, the first names)."""
    parts = []
    for reason, (count, names) in counted.items():
        one = count == 1
        words = reason.replace("{s}", "" if one else "s").replace("{es}", "" if one else "es")
        words = words.replace("{them}", "it" if one else "them")
        shown = [*names[:SHOWN], *["..."] * (count > SHOWN)]
        parts.append(f"{count:,} {words} ({one_line(', '.join(shown))})")
    return "; ".join(parts) or None


def with_counts(left_out: Mapping[str, Sequence[str]]) -> dict[str, tuple[int, list[str]]]:
    """As `left_out_note` takes it, and stores keep it."""
    return {reason: (len(names), list(names[:NAMED])) for reason, names in left_out.items()}


def passed_over(left_out: Mapping[str, Sequence[str]]) -> str:
    """The end of a message that nothing was found."""
    words = left_out_note(with_counts(left_out))
    return f"; passed over {words}" if words else ""


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
