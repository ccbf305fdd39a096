"""The exceptions that reach people as a sentence instead of a traceback."""

from __future__ import annotations

from collections.abc import Sequence


class UserError(Exception):
    """Something the user can mend: the message names the file or flag, and what to do.

    Command lines print the message on one line and exit with status 1; anything
    else that escapes is a bug of ours and keeps its traceback.
    """


class SettingsError(ValueError):
    """Settings that contradict each other; command lines show it as wrong usage."""


class Interrupted(Exception):  # noqa: N818 - an event, not an error
    """A signal stopped the work: the program exits with 128 + signal.

    The message says what was saved; an evaluation leaves nothing.
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
    """Names with commas between them; of more than `most`, how many are left out."""
    shown = ", ".join(map(str, names[:most]))
    return shown + (f" and {len(names) - most:,} more" if len(names) > most else "")


def first_line(error: Exception) -> str:
    """What an exception says, as one line; its type's name where it says nothing."""
    return (str(error) or type(error).__name__).splitlines()[0]


def one_line(text: str) -> str:
    """`text` with line breaks and whatever else no terminal shows as escapes, as in `\\n`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
