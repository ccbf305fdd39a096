"""Memory, or what takes a program's output, that is too small, closed or gone."""

from __future__ import annotations

import errno
import os
import sys

try:
    import resource
except ImportError:  # a system without limits
    resource = None

from supervised_reptile.errors import UserError
from supervised_reptile.system.atomic_files import reason

# The last: open, but not for writing.
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EBADF)
# Words of Python, the system and oneDNN for it, in exceptions of whatever type: no stack for a
# thread, no room for a library, no pages, no primitive.
OF_MEMORY = (
    "can't start new thread",
    "failed to map segment",
    os.strerror(errno.ENOMEM),
    "Operation received an exception:Status: 1,",
)
OF_ANYTHING = "Graph execution error:"
# Bytes of address space: what a run of a few small images took, and what is no narrow limit.
LEAST, AMPLE = 2_500_000_000, 8_000_000_000
OF_TENSORFLOW = "ResourceExhaustedError"  # by name: importing it would take seconds


def shortage(error: Exception) -> str | None:
    """One sentence, with what to do, if `error` says that something ran out; else None."""
    words = str(error).partition("\n")[0].removeprefix(OF_ANYTHING)
    # Files are written under `files.writing`; what is left is what was printed.
    if isinstance(error, OSError) and error.errno in UNWRITABLE and not error.filename:
        discard_failing_output()
        return f"standard output: cannot write there ({reason(error)})"
    if _is_of_memory(error):
        return (
            f"not enough memory ({words or 'an allocation failed'}): allow more (ulimit -v), or "
            "ask for less at a time by smaller --meta-batch, --inner-batch, --classes or --shots. "
            "What was saved before is kept; a run goes on with --resume"
        )
    return None


def memory_limit() -> int | None:
    """Bytes of address space that this process may use, if they may turn out to be too few."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0] if resource else AMPLE
    return limit if 0 <= limit < AMPLE else None  # no limit is -1


def check_memory_limit() -> None:
    """Refuse to go on, or warn, where this process may use little more than TensorFlow itself.

    Where an allocation fails in native code, that code ends the process or waits for ever, and
    nothing can say why at that moment.

    Raises:
      UserError: it is certain to come to that.
    """
    if (limit := memory_limit()) is None:
        return
    limited = f"memory is limited to {limit / 1e9:.1f} GB (ulimit -v)"
    if limit < LEAST:
        raise UserError(f"{limited}, and with TensorFlow the smallest run takes {LEAST / 1e9} GB")
    print(
        f"Warning: {limited}: if this program ends without another word (segmentation fault, "
        "abort), that was too little. What was saved before is kept; a run goes on with --resume",
        file=sys.stderr,
    )


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


def _is_of_memory(error: Exception) -> bool:
    return (
        isinstance(error, MemoryError)
        or any(kind.__name__ == OF_TENSORFLOW for kind in type(error).__mro__)
        or any(words in str(error) for words in OF_MEMORY)
    )
