"""Files that appear whole or not at all, and one sentence where writing fails."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from supervised_reptile.errors import UserError


@contextlib.contextmanager
def writing(path: Path, *further: type[Exception]) -> Iterator[None]:
    """Turns a refusal to write at `path` (permission, full disk) into one sentence (UserError).

    `further`: exceptions that a library raises for the same reasons as OSError.
    """
    try:
        yield
    except BrokenPipeError:  # it is standard output that nobody reads any more
        raise
    except (OSError, *further) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(f"{path}: cannot write there ({reason})") from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of `path`, synced to disk, if the block succeeds."""
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Force a file's bytes to the disk, so that losing power cannot take them back."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
