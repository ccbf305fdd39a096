"""What to say where memory, or the disk that takes a program's output, was too small."""

from __future__ import annotations

import errno
import os
import sys

from supervised_reptile.files import reason

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Words of Python and the system for it, in exceptions of whatever type: no stack for a thread, no
# room for a library, no pages.
OF_MEMORY = ("can't start new thread", "failed to map segment", os.strerror(errno.ENOMEM))
OF_TENSORFLOW = "ResourceExhaustedError"  # by name: importing it would take seconds


def shortage(error: Exception) -> str | None:
    """One sentence, with what to do, if `error` says that something ran out; else None."""
    words = str(error).partition("\n")[0]
    # Files are written under `files.writing`; what is left is what was printed.
    if isinstance(error, OSError) and error.errno in FULL and not error.filename:
        _discard_output()
        return f"standard output: cannot write there ({reason(error)})"
    if _is_of_memory(error):
        return (
            f"not enough memory ({words or 'an allocation failed'}): allow more (ulimit -v), or "
            "ask for less at a time by smaller --meta-batch, --inner-batch, --classes or --shots. "
            "What was saved before is kept; a run goes on with --resume"
        )
    return None


def _discard_output() -> None:
    """Have what is left of it go nowhere: Python tries once more at its end, and would complain."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_of_memory(error: Exception) -> bool:
    return (
        isinstance(error, MemoryError)
        or any(kind.__name__ == OF_TENSORFLOW for kind in type(error).__mro__)
        or any(words in str(error) for words in OF_MEMORY)
    )
