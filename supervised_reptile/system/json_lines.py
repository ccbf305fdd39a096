"""Logs of one JSON object a line, each with its "step"."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

from supervised_reptile.system.atomic_files import reading


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The entries of a log that may be growing; a last line that is not finished is left out.

    Raises OSError, or ValueError for a damaged line: see `atomic_files.reading`.
    """
    entries, _, fault = _parse(path.read_bytes())
    if fault:
        raise ValueError(fault)
    return entries


def _parse(content: bytes) -> tuple[list[dict[str, Any]], list[int], str]:
    """(entries before the first damaged line, byte where each ends, what is damaged or "")."""
    lines = content.split(b"\n")[:-1]
    entries: list[dict[str, Any]] = []
    fault = ""
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            int(entry["step"])
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            fault = f"line {number} is no JSON object with a step"
            break
        entries.append(entry)
    ends = accumulate(len(line) + 1 for line in lines[: len(entries)])
    return entries, list(ends), fault


class JsonLines:
    """A log that a program writes; the first line makes the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None

    def append(self, entry: dict[str, Any]) -> None:
        """One more line."""
        self._file = self._file or self.path.open("ab")
        self._file.write(json.dumps(entry).encode() + b"\n")
        self._file.flush()

    @property
    def size(self) -> int:
        """Bytes in the log."""
        return self.path.stat().st_size if self.path.exists() else 0

    def sync(self) -> None:
        """Force what was appended to the disk."""
        if self._file:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """What cannot be written any more was reported when it was first tried."""
        if self._file:
            with contextlib.suppress(OSError):
                self._file.close()
        self._file = None

    def cut(
        self, kept: Callable[[dict[str, Any], int], bool], least: int = 0
    ) -> list[dict[str, Any]]:
        """Forget the first line for which not kept(entry, where it ends), and all that follow.

        Warns if a damaged line is forgotten as well, or if fewer than `least` bytes are left.
        Returns the entries that are left.
        """
        self.close()
        if not self.path.exists():
            return []
        with reading(self.path, "move it away"):
            entries, ends, fault = _parse(self.path.read_bytes())
        count = 0
        while count < len(entries) and kept(entries[count], ends[count]):
            count += 1
        size = ends[count - 1] if count else 0
        if size < least or (fault and count == len(entries)):
            reason = f" ({fault})" if fault else ""
            print(f"Warning: {self.path} has lost lines{reason}", file=sys.stderr)
        os.truncate(self.path, size)
        return entries[:count]
