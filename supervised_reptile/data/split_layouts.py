"""Class folders below train, val and test: as folders, or the same inside archives."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from supervised_reptile.data.archives import open_archive
from supervised_reptile.data.decode import is_image_name
from supervised_reptile.data.folders import entries, folders_in, is_file, is_folder, is_hidden
from supervised_reptile.data.items import SPLIT_OF, Content, Item, Listing


@dataclass(frozen=True)
class ClassFolders:
    """`<class>/<image>` below one or more folders, each of them a split or, as "", undivided."""

    root: Path
    parts: Mapping[str, Path]  # split -> the folder of its class folders, below `root`

    @property
    def kind(self) -> str:
        """In words."""
        return "class folders" if "" in self.parts else "train/val/test folders"

    def files(self) -> list[Path]:
        """Every image's file, and every class folder without one."""
        keys = [item.key for item in self._listing.items]
        return [self.root / key for key in (*keys, *self._listing.empty)]

    def listing(self) -> Listing:
        """Looks at names only; UserError where a folder cannot be read."""
        return self._listing

    def contents(self, keys: Collection[str]) -> Iterator[tuple[str, Content]]:
        """The files' paths: decoding opens them."""
        return ((key, self.root / key) for key in sorted(keys))

    @cached_property
    def _listing(self) -> Listing:
        items: list[Item] = []
        empty: list[str] = []
        ignored: list[str] = []
        for split, folder in self.parts.items():
            ignored += [entry.name for entry in entries(folder) if not is_folder(entry)]
            for class_folder in folders_in(folder):
                where = class_folder.relative_to(self.root).as_posix()
                names = {entry.name: _is_image(entry) for entry in entries(class_folder)}
                label, images = class_folder.name, [name for name in names if names[name]]
                items += [Item(split, label, name, f"{where}/{name}") for name in images]
                ignored += [f"{where}/{name}" for name in names if not names[name]]
                empty += [] if images else [where]
        return Listing(tuple(items), tuple(empty), tuple(ignored))


@dataclass(frozen=True)
class SplitArchives:
    """`<split>/<class>/<image>` in one archive, or `<class>/<image>` in one for each split.

    Folders above these are passed over, so an archive may have a top folder or not.
    """

    root: Path
    archives: Mapping[str, Path]  # split -> archive; "" -> the archive that holds them all

    @property
    def kind(self) -> str:
        """In words."""
        return "an archive of train/val/test folders" if "" in self.archives else "split archives"

    def files(self) -> list[Path]:
        """The archives."""
        return list(self.archives.values())

    def listing(self) -> Listing:
        """Reads the archives' tables of members; UserError where one is damaged or hostile."""
        items: list[Item] = []
        ignored: list[str] = []
        for split, archive in self.archives.items():
            with open_archive(archive) as members:
                for name in members:
                    item = _item_of_member(split, archive, name)
                    if item and is_image_name(name):
                        items.append(item)
                    elif not is_hidden(name):
                        ignored.append(_key(archive, name))
        return Listing(tuple(items), ignored=tuple(ignored))

    def contents(self, keys: Collection[str]) -> Iterator[tuple[str, Content]]:
        """Each archive read once from front to back."""
        wanted = frozenset(keys)
        for archive in self.archives.values():
            with open_archive(archive) as members:
                for name, read in members.items():
                    if (key := _key(archive, name)) in wanted:
                        yield key, read()


def split_folders(root: Path) -> Mapping[str, Path]:
    """Split -> folder, of the folders directly below `root` that are called like splits."""
    return {
        SPLIT_OF[folder.name.lower()]: folder
        for folder in folders_in(root)
        if folder.name.lower() in SPLIT_OF
    }


def _is_image(entry: os.DirEntry[str]) -> bool:
    return is_image_name(entry.name) and is_file(entry)


def _item_of_member(split: str, archive: Path, name: str) -> Item | None:
    """The image that a member is by its place in the archive, or None."""
    *above, label, file = ("", "", *PurePosixPath(name).parts)
    split = split or SPLIT_OF.get(above[-1].lower() if above else "", "")
    if not split or not label or label.lower() in SPLIT_OF or is_hidden(name):
        return None
    return Item(split, label, file, _key(archive, name))


def _key(archive: Path, name: str) -> str:
    return f"{archive.name}:{name}"
