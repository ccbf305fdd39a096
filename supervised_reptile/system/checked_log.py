"""Logs of one JSON object a line, each with its "step", beside which their checksums lie.

`metrics.jsonl` has `metrics.crc`, with eight hexadecimal digits for each of its lines: the CRC-32
of everything up to the end of that line. So a changed line is noticed, lines that are gone from
the end are noticed, and a log can be cut anywhere. Lines without a checksum (all that an older
program wrote; the last one, if a program was killed between the two) are taken as they are.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from supervised_reptile.errors import counted
from supervised_reptile.system.atomic_files import reading

SUFFIX = ".crc"


class Lines(NamedTuple):
    """What is left of a log."""

    entries: tuple[dict[str, Any], ...]  # of the lines that are as they were written
    ends: tuple[int, ...]  # where each of them ends, in bytes
    fault: str  # what is wrong with what follows them; "" where nothing is


def checksums_of(path: Path) -> Path:
    """The file with the checksums of a log."""
    return path.with_suffix(SUFFIX)


def read_lines(path: Path) -> Lines:
    """The lines of a log that may be growing; one that is not finished is left out (OSError)."""
    lines, fault = intact_lines(path)
    entries: list[dict[str, Any]] = []
    for line in lines:
        try:
            entry = json.loads(line)
            step = int(entry["step"])
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            fault = f"line {len(entries) + 1} is no JSON object with a step"
            break
        if entries and step <= entries[-1]["step"]:
            fault = f"line {len(entries) + 1} is of step {step}, as an earlier one"
            break
        entries.append(entry)
    ends = accumulate(len(line) + 1 for line in lines[: len(entries)])
    return Lines(tuple(entries), tuple(ends), fault)


def intact_lines(path: Path) -> tuple[list[bytes], str]:
    """The lines that are as they were written, and what is wrong with what follows them, if so.

    The file may be growing; a line that is not finished is left out. Raises OSError.
    """
    while True:
        known = _stored_sums(path)
        lines = path.read_bytes().split(b"\n")[:-1]
        if _stored_sums(path)[: len(known)] == known:
            break  # else it was cut back meanwhile
    for number, (stored, found) in enumerate(zip(known, _sums(lines), strict=False)):
        if stored != found:
            source = checksums_of(path).name
            return lines[:number], f"line {number + 1} does not fit its checksum in {source}"
    if len(lines) < len(known):
        return lines, f"it has {len(lines):,} of {counted(len(known), 'line')}"
    return lines, ""


def extend_checksums(path: Path) -> None:
    """Add those of the lines that have none (OSError)."""
    sums = list(_sums(path.read_bytes().split(b"\n")[:-1]))
    with checksums_of(path).open("ab") as file:
        file.writelines(found + b"\n" for found in sums[len(_stored_sums(path)) :])


def _stored_sums(path: Path) -> list[bytes]:
    """What the program that wrote a log says of its lines; one that is not finished is left out."""
    try:
        return checksums_of(path).read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []


def _sums(lines: Sequence[bytes]) -> Iterator[bytes]:
    crc = 0
    for line in lines:
        crc = zlib.crc32(line + b"\n", crc)
        yield b"%08x" % crc


class LineLog:
    """A log that a program writes; the first line makes the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files: tuple[BinaryIO, BinaryIO] | None = None  # the log, its checksums
        self._crc = 0

    def append(self, entry: dict[str, Any]) -> None:
        """One more line."""
        log, sums = self._files or self._open()
        line = json.dumps(entry).encode() + b"\n"
        log.write(line)
        log.flush()
        self._crc = zlib.crc32(line, self._crc)
        sums.write(b"%08x\n" % self._crc)
        sums.flush()

    @property
    def size(self) -> int:
        """Bytes in the log."""
        return self.path.stat().st_size if self.path.exists() else 0

    def sync(self) -> None:
        """Force what was appended to the disk."""
        for file in self._files or ():
            os.fsync(file.fileno())

    def close(self) -> None:
        """What cannot be written any more was reported when it was first tried."""
        for file in self._files or ():
            with contextlib.suppress(OSError):
                file.close()
        self._files = None

    def cut(
        self, kept: Callable[[dict[str, Any], int], bool], least: int | None = None
    ) -> tuple[dict[str, Any], ...]:
        """Forget the first line for which not kept(entry, where it ends), and all that follow.

        Damaged lines are forgotten, too, which is told where they were to be kept; least: the
        bytes that should be left, where that is known. Returns the entries that are left.
        """
        if not (self.path.exists() or checksums_of(self.path).exists()):
            return ()
        self.path.touch()
        with reading(self.path, "move it away"):
            lines = read_lines(self.path)
        judged = (kept(entry, end) for entry, end in zip(lines.entries, lines.ends, strict=True))
        count = next((i for i, keep in enumerate(judged) if not keep), len(lines.entries))
        size = lines.ends[count - 1] if count else 0
        lost = size < least if least is not None else lines.fault and count == len(lines.entries)
        if lost:
            reason = f" ({lines.fault})" if lines.fault else ""
            print(f"Warning: {self.path} has lost lines{reason}", file=sys.stderr)
        self._truncate(size)
        return lines.entries[:count]

    def _truncate(self, size: int) -> None:
        """Forget what follows the first `size` bytes, and vouch for these from now on."""
        self.close()
        lines = self.path.read_bytes()[:size].split(b"\n")[:-1]
        sums = b"".join(found + b"\n" for found in _sums(lines))
        place = checksums_of(self.path)
        # The checksums go first: killed in between, lines without one are left.
        if not place.exists() or place.read_bytes() != sums:
            place.write_bytes(sums)
        os.truncate(self.path, size)

    def _open(self) -> tuple[BinaryIO, BinaryIO]:
        if not self.path.exists():
            self.path.touch()
        self._truncate(self.size)
        place = checksums_of(self.path)
        self._crc = int(place.read_bytes()[-9:] or b"0", 16)
        self._files = self.path.open("ab"), place.open("ab")
        return self._files
