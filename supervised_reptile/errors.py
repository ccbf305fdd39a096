"""The exceptions that reach people as a sentence instead of a traceback."""


class UserError(Exception):
    """Something the user can mend: the message names the file or flag, and what to do.

    Command lines print the message on one line and exit with status 1; anything
    else that escapes is a bug of ours and keeps its traceback.
    """


class Interrupted(Exception):  # noqa: N818 - an event, not an error
    """A signal stopped the work: the program exits with 128 + signal.

    The message says what was saved; an evaluation leaves nothing.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


def first_line(error: Exception) -> str:
    """What an exception says, as one line; its type's name where it says nothing."""
    return (str(error) or type(error).__name__).splitlines()[0]


def one_line(text: str) -> str:
    """`text` with line breaks and whatever else no terminal shows as escapes, as in `\\n`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
