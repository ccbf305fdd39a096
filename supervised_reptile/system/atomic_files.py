"""Atomic file replacement, and one-sentence errors for failed reading and writing."""

from __future__ import annotations

import contextlib
import errno
import json
import lzma
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from supervised_reptile.errors import UserError, first_line

# What to do about the system's refusals.
ADVICE = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "name a place that can be written",
    errno.EACCES: "name a place that you may write to",
    errno.EPERM: "name a place that you may write to",
}


class CannotWriteError(UserError):
    """The system refused to write."""


@contextlib.contextmanager
def writing(path: Path, *further: type[Exception]) -> Iterator[None]:
    """Turns a failure to write at `path` (permission, full disk) into one sentence.

    `further`: exceptions of libraries for the same reasons as OSError.

    Raises:
      CannotWriteError: it was refused.
    """
    try:
        yield
    except BrokenPipeError:  # it is standard output that nobody reads any more
        raise
    except (OSError, *further) as error:
        raise CannotWriteError(f"{path}: cannot write there ({reason(error)})") from error


def reason(error: Exception) -> str:
    """The system's reason, with advice if known.

    Exceptions of libraries without an errno contain the system's text.
    """
    for number, advice in ADVICE.items():
        if (words := os.strerror(number)) in str(error):
            return f"{words}: {advice}"
    return getattr(error, "strerror", None) or first_line(error)


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
    lzma.LZMAError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


@contextlib.contextmanager
def reading(path: Path, remedy: str, what: str = "not readable") -> Iterator[None]:
    """Turns any fault in the content of `path` into one sentence (UserError).

    what: description of the fault; remedy: what to do.
    """
    try:
        yield
    except UNREADABLE as error:
        raise UserError(f"{path}: {what} ({_fault(error, path)}); {remedy}") from error


def _fault(error: Exception, path: Path) -> str:
    if isinstance(error, KeyError):
        name = str(error.args[0]).removesuffix(" is not a file in the archive")  # NumPy's words
        return f"{name!r} is missing"
    if isinstance(error, OSError) and error.strerror:
        file = Path(error.filename or path)
        return error.strerror if file == path else f"{file.name}: {error.strerror}"
    words = first_line(error)  # numpy's may advise to load a file that runs code
    return "it does not hold numbers" if "allow_pickle" in words else words


def home_expanded(path: str | os.PathLike[str], variable: str = "") -> str:
    """`path` with ~ or ~user at its start as the home directory; a folder "~" is ./~.

    Shells do not expand it in --flag=~/runs, quotes and most variables. `variable` of the
    environment is named in the error.

    Raises:
      UserError: there is no such user, and no file or folder of that name.
    """
    text = os.fspath(path)
    expanded = os.path.expanduser(text)
    first = expanded.partition(os.sep)[0]
    if first.startswith("~") and not os.path.lexists(first):
        raise UserError(
            f"{f'{variable}=' if variable else ''}{text}: no home directory is known for {first}; "
            f"a folder of that name is ./{first}"
        )
    return expanded


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path that replaces `path`, synced to disk, if the block succeeds."""
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def json_text(content: Mapping[str, Any]) -> str:
    """The text of a JSON file."""
    return json.dumps(content, indent=1) + "\n"


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Put `content` into the file `path`, which is replaced atomically (OSError)."""
    with replacing(path) as temporary:
        temporary.write_text(json_text(content), encoding="utf8")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises OSError or ValueError: see `reading`."""
    content = json.loads(path.read_text(encoding="utf8"))
    if not isinstance(content, dict):
        raise ValueError("it is not a JSON object")
    content.pop("crc32", None)  # the checksum that older programs added
    return content


def remove_unfinished(folder: Path) -> None:
    """Delete what `replacing` left in `folder` when its process was killed."""
    for path in folder.glob(".*"):
        if re.fullmatch(r"\.\d+\..+", path.name):
            path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Force a file's bytes to the disk, so that they survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
