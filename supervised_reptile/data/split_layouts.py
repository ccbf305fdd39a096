"""Class folders below train, val and test: as folders, or the same inside archives."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from supervised_reptile.data.archives import open_archive
from supervised_reptile.data.decode import is_image_name
from supervised_reptile.data.items import SPLIT_OF, Content, Item, Listing
from supervised_reptile.errors import UserError


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
        """Every image's file."""
        return [self.root / item.key for item in self._listing.items]

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
            ignored += [self._key(path) for path in _visible(folder) if not path.is_dir()]
            for class_folder in visible_folders(folder):
                inside = _visible(class_folder)
                images = [path for path in inside if is_image_name(path.name) and path.is_file()]
                kept = frozenset(images)
                ignored += [self._key(path) for path in inside if path not in kept]
                empty += [] if images else [self._key(class_folder)]
                label = class_folder.name
                items += [Item(split, label, path.name, self._key(path)) for path in images]
        return Listing(tuple(items), tuple(empty), tuple(ignored))

    def _key(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


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
                    elif not _is_hidden(name):
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
        for folder in visible_folders(root)
        if folder.name.lower() in SPLIT_OF
    }


def visible_folders(root: Path) -> list[Path]:
    """The folders directly below `root`, sorted by name, without the hidden ones."""
    return [path for path in _visible(root) if path.is_dir()]


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not _is_hidden(path.name))
    except OSError as error:
        raise UserError(f"{folder}: cannot be listed ({error.strerror})") from error


def _is_hidden(name: str) -> bool:
    """Whether a path has a part that operating systems put there for themselves."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def _item_of_member(split: str, archive: Path, name: str) -> Item | None:
    """The image that a member is by its place in the archive, or None."""
    *above, label, file = ("", "", *PurePosixPath(name).parts)
    split = split or SPLIT_OF.get(above[-1].lower() if above else "", "")
    if not split or not label or label.lower() in SPLIT_OF or _is_hidden(name):
        return None
    return Item(split, label, file, _key(archive, name))


def _key(archive: Path, name: str) -> str:
    return f"{archive.name}:{name}"
