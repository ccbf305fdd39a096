"""Folders of a data set, on disk or inside an archive, without what systems put there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TypeAlias, TypeVar

from supervised_reptile.errors import UserError

# In small letters. macOS, Windows, NAS systems, Linux, Python; a leading dot says it of the rest.
SYSTEM_NAMES = frozenset(
    {
        "__macosx", "icon\r", "network trash folder", "temporary items",
        "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information",
        "@eadir", "@tmp", "@recycle", "@recently-snapshot", "@__thumb", "#recycle", "#snapshot",
        "lost+found", "__pycache__",
    }
)  # fmt: skip


MOST_WRAPPERS = 2  # folders around a data set, as archives make


def is_never_data(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or a system keeps it for itself."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def name_of(folder: Folder) -> str:
    """The last part of its path."""
    return folder.key.rpartition("/")[2]


def below(folder: Folder, name: str) -> str:
    """The key of what is called `name` directly in `folder`."""
    return f"{folder.key}/{name}" if folder.key else name


def walk(folder: Folder) -> Iterator[str]:
    """The keys of all files in `folder` and below it."""
    yield from (below(folder, name) for name in folder.files)
    for inner in folder.folders:
        yield from walk(inner)


class DiskFolder:
    """A folder on disk. Links are followed, but not to a folder around them."""

    def __init__(self, path: Path, key: str = "", around: frozenset[tuple[int, int]] | None = None):
        """`around`: device and inode of the folders around it; None looks them up."""
        self.path, self.key = path, key
        self._around = around

    @cached_property
    def files(self) -> tuple[str, ...]:
        """As MemberFolder has them; UserError where it cannot be listed."""
        return tuple(entry.name for entry in self._entries if _is(entry, os.path.isfile))

    @cached_property
    def folders(self) -> tuple[DiskFolder, ...]:
        """As MemberFolder has them; UserError where it cannot be listed."""
        around = self._around
        if around is None:
            whole = self.path.resolve()
            around = frozenset(map(_identity, (whole, *whole.parents)))
        found = []
        for entry in self._entries:
            if _is(entry, os.path.isdir) and (identity := _identity(entry.path)) not in around:
                key = below(self, entry.name)
                found.append(DiskFolder(Path(entry.path), key, around | {identity}))
        return tuple(found)

    def as_root(self) -> DiskFolder:
        """The same folder as the root of a data set."""
        return DiskFolder(self.path)

    @cached_property
    def _entries(self) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.path) as listed:
                kept = [entry for entry in listed if not is_never_data(entry.name)]
        except OSError as error:
            raise UserError(f"{self.path}: cannot be listed ({error.strerror})") from error
        return sorted(kept, key=lambda entry: entry.name)


class MemberFolder:
    """A folder inside an archive."""

    def __init__(self, key: str = "") -> None:
        """`key`: its path below the root of the archive, with "/"; "" for the root."""
        self.key = key
        self._files: set[str] = set()
        self._folders: dict[str, MemberFolder] = {}

    @classmethod
    def of(cls, members: Iterable[str]) -> MemberFolder:
        """The root above `members`, which are keys of files."""
        root = cls()
        for member in members:
            *parts, name = member.split("/")
            if any(map(is_never_data, (*parts, name))):
                continue
            folder = root
            for part in parts:
                key = below(folder, part)
                folder = folder._folders.setdefault(part, cls(key))
            folder._files.add(name)
        return root

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the files directly in it, sorted."""
        return tuple(sorted(self._files))

    @property
    def folders(self) -> tuple[MemberFolder, ...]:
        """The folders directly in it, sorted by name."""
        return tuple(self._folders[name] for name in sorted(self._folders))

    def as_root(self) -> MemberFolder:
        """The same folder: keys of members stay whole."""
        return self


Folder: TypeAlias = DiskFolder | MemberFolder
FolderT = TypeVar("FolderT", DiskFolder, MemberFolder)


def wrapped(folder: FolderT, most: int) -> list[FolderT]:
    """`folder`, and the only folder in it, and so on for at most `most` folders around."""
    levels = [folder]
    while len(levels[-1].folders) == 1 and len(levels) <= most:
        levels.append(levels[-1].folders[0])
    return levels


def files_in(folder: Path) -> list[Path]:
    """The files directly in `folder`, sorted by name; UserError where it cannot be listed."""
    return [folder / name for name in DiskFolder(folder).files]


def _is(entry: os.DirEntry[str], kind: Callable[[str], bool]) -> bool:
    """A link is what it leads to; one to itself is nothing, and no error."""
    if entry.is_symlink():
        return kind(entry.path)
    return entry.is_file() if kind is os.path.isfile else entry.is_dir()


def _identity(path: str | Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino
