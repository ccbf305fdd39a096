"""Files that appear whole or not at all, and one sentence where writing or reading fails."""

from __future__ import annotations

import contextlib
import os
import struct
import zipfile
import zlib
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
    except (OSError, *further) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(f"{path}: cannot write there ({reason})") from error


# What the readers of JSON, NumPy's arrays and zip archives raise on damaged content.
UNREADABLE = (
    OSError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


@contextlib.contextmanager
def reading(path: Path, remedy: str, what: str = "not readable") -> Iterator[None]:
    """Turns whatever is wrong with the content of `path` into one sentence (UserError).

    what: what `path` then is called; remedy: what to do.
    """
    try:
        yield
    except UNREADABLE as error:
        raise UserError(f"{path}: {what} ({_reason(error, path)}); {remedy}") from error


def _reason(error: Exception, path: Path) -> str:
    if isinstance(error, KeyError):
        return f"{error} is missing"
    if isinstance(error, OSError) and error.strerror:
        file = Path(error.filename or path)
        return error.strerror if file == path else f"{file.name}: {error.strerror}"
    return (str(error) or type(error).__name__).splitlines()[0]


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
