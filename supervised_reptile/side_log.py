"""SideLog: what a run tells beside its metrics, cut back with them when it is resumed."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any, TextIO


class SideLog:
    """A file of one JSON object a line, each with its "step"; the first line makes the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    def append(self, entry: dict[str, Any]) -> None:
        """One more line."""
        if not self._file:
            self._file = self._path.open("a", encoding="utf8")
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()

    def sync(self) -> None:
        """Force what was appended to the disk."""
        if self._file:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """What cannot be written any more was reported when it was first tried."""
        if self._file:
            with contextlib.suppress(OSError):
                self._file.close()

    def cut(self, step: int) -> list[dict[str, Any]]:
        """Forget entries of outer step `step` and later; returns those that are kept.

        What is kept is told by the steps in the lines: unlike metrics, it need not be there, and
        checkpoints of older programs know nothing of it.
        """
        kept: list[dict[str, Any]] = []
        if not self._path.exists():
            return kept
        size = 0
        for line in self._path.read_bytes().splitlines(keepends=True):
            entry = _entry(line)
            if entry is None or entry["step"] >= step:
                break
            size += len(line)
            kept.append(entry)
        os.truncate(self._path, size)
        return kept


def _entry(line: bytes) -> dict[str, Any] | None:
    """The object in a line; None if it was not finished."""
    try:
        return json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
