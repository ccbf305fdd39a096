"""Listing folders: sorted by name, without what operating systems put there for themselves."""

from __future__ import annotations

import os
from pathlib import Path

from supervised_reptile.errors import UserError


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """What lies directly in `folder`, sorted by name, without hidden things.

    Raises:
      UserError: it cannot be listed.
    """
    try:
        with os.scandir(folder) as listed:
            visible = [entry for entry in listed if not is_hidden(entry.name)]
    except OSError as error:
        raise UserError(f"{folder}: cannot be listed ({error.strerror})") from error
    return sorted(visible, key=lambda entry: entry.name)


def files_in(folder: Path) -> list[Path]:
    """The files directly in `folder`, as `entries`."""
    return [Path(entry.path) for entry in entries(folder) if is_file(entry)]


def folders_in(folder: Path) -> list[Path]:
    """The folders directly in `folder`, as `entries`."""
    return [Path(entry.path) for entry in entries(folder) if is_folder(entry)]


def is_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file, or a link to one; a link to itself is nothing, and no error."""
    return os.path.isfile(entry.path)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """The same of folders."""
    return os.path.isdir(entry.path)


def is_hidden(name: str) -> bool:
    """Whether a path has a part that an operating system put there for itself."""
    parts = (part for part in name.split("/") if part != ".")
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)
