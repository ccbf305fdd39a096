"""Folders that appear complete, or not at all: stores, exports, drawn sets.

The folder is written next to its path, inside one with a hidden name. A killed process leaves that
hidden folder behind, which does no harm.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def appearing_whole(folder: Path, check: Callable[[Path], None]) -> Iterator[Path]:
    """An empty folder that becomes `folder` if the block succeeds, and disappears if it fails.

    `check(folder)` must raise where what is there may not be replaced; it is asked before
    the block and, since things may have come there meanwhile, after it.
    """
    check(folder)
    path = folder.resolve()  # of a link, what it points to is replaced
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    new, old = scratch / "new", scratch / "old"
    try:
        new.mkdir()  # not readable by its owner alone, as `scratch` is
        yield new
        check(folder)
        if path.exists():
            path.rename(old)
        new.rename(path)
    finally:
        if old.exists() and not path.exists():  # interrupted between the two
            old.rename(path)
        shutil.rmtree(scratch, ignore_errors=True)
