"""One process at a time in a folder."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from typing import TextIO

from supervised_reptile.errors import UserError
from supervised_reptile.system.atomic_files import reason, writing

LOCK = "lock"  # the file that is locked; it stays, and says nothing
POLL_SECONDS = 0.2
PATIENCE = 120.0  # seconds in which a process that was told to stop has saved


class AtWorkError(UserError):
    """Another process holds the lock."""


def lock(folder: Path) -> TextIO:
    """Create a folder and lock it exclusively until the returned file is closed.

    The system releases the lock when the process ends in any way.

    Raises:
      AtWorkError: another process holds it.
      UserError: the folder cannot be written or locked.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise AtWorkError(
            f"{folder}: another process is at work there; wait for it, or name another folder"
        ) from None
    except OSError as error:  # some network file systems cannot
        file.close()
        raise UserError(
            f"{folder}: no lock there ({reason(error)}); name a folder on a file system with locks"
        ) from error
    return file


def wait_until_free(folder: Path) -> None:
    """Wait until no process holds the lock on a folder (AtWorkError after PATIENCE)."""
    deadline = time.monotonic() + PATIENCE
    while folder.exists():
        try:
            lock(folder).close()
            return
        except AtWorkError:
            if time.monotonic() > deadline:
                raise
        time.sleep(POLL_SECONDS)
