"""One sentence where memory is too small, or standard output cannot be written."""

from __future__ import annotations

import errno
import os
import sys

from supervised_reptile.system.atomic_files import reason

# The last: open, but not for writing.
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EBADF)
OF_ANYTHING = "Graph execution error:"
OF_TENSORFLOW = "ResourceExhaustedError"  # by name: importing it would take seconds


def shortage(error: Exception) -> str | None:
    """One sentence, with what to do, if `error` says that something ran out; else None."""
    words = str(error).partition("\n")[0].removeprefix(OF_ANYTHING)
    # Files are written under `files.writing`; what is left is what was printed.
    if isinstance(error, OSError) and error.errno in UNWRITABLE and not error.filename:
        discard_failing_output()
        return f"standard output: cannot write there ({reason(error)})"
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if {MemoryError.__name__, OF_TENSORFLOW} & kinds:
        return (
            f"not enough memory ({words or 'an allocation failed'}): "
            "use a smaller --meta-batch, --inner-batch, --classes or --shots. Saved checkpoints "
            "are kept; continue with --resume"
        )
    return None


def open_closed_streams() -> None:
    """Have standard streams that are closed (`>&-`, daemons, pythonw) take, or give, nothing.

    Else the next files that are opened would get their descriptors, and native code's messages.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            nothing = open(os.devnull, mode, encoding="utf8")  # noqa: SIM115 - for good
            setattr(sys, name, nothing)


def discard_failing_output() -> None:
    """Have what is left of it go nowhere: Python tries once more at its end, and would complain."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
