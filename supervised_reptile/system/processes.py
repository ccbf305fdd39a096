"""Training runs as processes of their own, which end when the one that started them ends."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from supervised_reptile.system.atomic_files import writing
from supervised_reptile.system.package_files import PACKAGE

LIBC = ctypes.CDLL(None)
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
TAIL_BYTES = 4096  # of a file that `last_lines` looks at


def start_run(words: Sequence[str], log: Path) -> subprocess.Popen:
    """`reptile WORDS...`; what it prints is appended to the file `log`.

    SIGTERM has it save and stop; that also happens when the thread that calls this ends.

    Raises:
      UserError: the log cannot be written.
    """
    # The same code as here, from whichever folder: it need not be installed.
    path = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
    with writing(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        file = log.open("ab")
    with file:
        # A session of its own, so that Ctrl-C comes to the starting program alone, which passes
        # it on.
        return subprocess.Popen(
            [sys.executable, "-m", "supervised_reptile", *words],
            stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
            env={**os.environ, "PYTHONPATH": path}, preexec_fn=end_with_parent,
        )  # fmt: skip


def end_with_parent() -> None:
    """In a child, before it starts: SIGTERM when the thread that started it ends (Linux)."""
    with contextlib.suppress(AttributeError):  # other systems have no prctl
        LIBC.prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM)


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a text file, at most `count`; none if there is no such file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES), os.SEEK_SET)
            return file.read().decode("utf8", "replace").strip().splitlines()[-count:]
    except OSError:
        return []
