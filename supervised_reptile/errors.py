"""Exceptions that are printed as one sentence instead of a traceback."""

from __future__ import annotations

from collections.abc import Sequence


class UserError(Exception):
    """An error that the user can fix: the message names the file or flag, and what to do.

    Command lines print the message on one line and exit with status 1. Any other
    exception is a bug and keeps its traceback.
    """


class SettingsError(ValueError):
    """Settings that contradict each other; command lines show it as wrong usage."""


class Interrupted(Exception):  # noqa: N818 - an event, not an error
    """A signal stopped the work: the program exits with 128 + signal.

    The message says what was saved; an interrupted evaluation stores nothing.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


def plural(number: int, thing: str) -> str:
    """What to call so many things: 1 class, 2 classes."""
    return thing if number == 1 else thing + ("es" if thing.endswith("s") else "s")


def counted(number: int, thing: str) -> str:
    """A number of things: 1 class, 1,000 outer steps."""
    return f"{number:,} {plural(number, thing)}"


def first_few(names: Sequence[object], most: int = 3) -> str:
    """Names separated by commas; of more than `most`, also the number left out."""
    shown = ", ".join(map(str, names[:most]))
    return shown + (f" and {len(names) - most:,} more" if len(names) > most else "")


def first_line(error: Exception) -> str:
    """The first line of an exception's message, or its type's name if there is none."""
    return (str(error) or type(error).__name__).splitlines()[0]


def one_line(text: str) -> str:
    """`text` with line breaks and whatever else no terminal shows as escapes, as in `\\n`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
