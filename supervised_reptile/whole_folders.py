"""Folders that appear complete, or not at all: stores, exports, drawn sets.

Such a folder grows beside its place under a hidden name, in a scratch folder that its process
keeps locked. What is there and not locked was left by a killed process.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from supervised_reptile.errors import UserError
from supervised_reptile.locks import LOCK, AtWorkError, lock

NEW, OLD = "new", "old"  # in a scratch folder: what grows, and what it is to replace


@contextlib.contextmanager
def appearing_whole(folder: Path, check: Callable[[Path], None]) -> Iterator[Path]:
    """An empty folder that becomes `folder` if the block succeeds, and disappears if it fails.

    `check(folder)` must raise where what is there may not be replaced; it is asked before
    the block and, since things may have come there meanwhile, after it.
    """
    check(folder)
    place = folder.resolve()  # of a link, what it points to is replaced
    place.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(place)
    scratch, held = _locked_scratch(place)
    try:
        with held:
            new = scratch / NEW
            new.mkdir()
            yield new
            check(folder)
            if place.exists():
                place.rename(scratch / OLD)
            new.rename(place)
    finally:
        _remove(scratch)


def _locked_scratch(place: Path) -> tuple[Path, TextIO]:
    """A new scratch folder for `place`, and its lock.

    Between its making and its locking another process may have taken it for abandoned.
    """
    while True:
        scratch = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        try:
            held = lock(scratch)
        except AtWorkError:
            continue
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(held.fileno()), (scratch / LOCK).stat()):
                return scratch, held
        held.close()


def _remove_abandoned(place: Path) -> None:
    """Delete what killed processes left of `place`, which may be gigabytes."""
    for scratch in place.parent.glob(f".{glob.escape(place.name)}.????????"):
        # Where a process is at work, or another one removes it; or it is another user's.
        with contextlib.suppress(UserError, OSError):
            if _is_ours(scratch):
                with lock(scratch):
                    _restore(scratch / OLD, place)
                    _remove(scratch)


def _is_ours(scratch: Path) -> bool:
    """Whether it holds what a scratch folder holds, or is one that was not even locked."""
    found = {path.name for path in scratch.iterdir()}
    return not found or LOCK in found <= {LOCK, NEW, OLD}


def _remove(scratch: Path) -> None:
    """Delete it, its lock last: if killed before that, the next one still knows it as ours."""
    for folder in (scratch / NEW, scratch / OLD, scratch):
        shutil.rmtree(folder, ignore_errors=True)


def _restore(old: Path, place: Path) -> None:
    """Put back what was moved out of the way by a process killed before it put the new there."""
    if old.exists() and not place.exists():
        old.rename(place)
