"""What to say where memory, or the disk that takes a program's output, was too small."""

from __future__ import annotations

import os
import sys

from supervised_reptile.files import reason

NO_THREAD = "can't start new thread"  # Python, where there is no memory for its stack
OF_TENSORFLOW = "ResourceExhaustedError"  # by name: importing it would take seconds


def shortage(error: Exception) -> str | None:
    """One sentence, with what to do, if `error` says that something ran out; else None."""
    words = str(error).partition("\n")[0]
    if isinstance(error, OSError) and _output_is_refused():
        return f"standard output: cannot write there ({reason(error)})"
    if isinstance(error, MemoryError) or NO_THREAD in words or _is_tensorflows(error):
        return (
            f"not enough memory ({words or 'an allocation failed'}): allow more (ulimit -v), or "
            "ask for less at a time by smaller --meta-batch, --inner-batch, --classes or --shots. "
            "What was saved before is kept; a run goes on with --resume"
        )
    return None


def _output_is_refused() -> bool:
    """Whether standard output takes nothing more; then what is left of it goes nowhere."""
    try:
        sys.stdout.flush()  # what could not be written is still there
    except OSError:
        # Python tries once more at its end, and would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def _is_tensorflows(error: Exception) -> bool:
    return any(kind.__name__ == OF_TENSORFLOW for kind in type(error).__mro__)
