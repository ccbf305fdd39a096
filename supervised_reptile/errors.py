"""The one exception that reaches people as a sentence instead of a traceback."""


class UserError(Exception):
    """Something the user can mend: the message names the file or flag, and what to do.

    Command lines print the message on one line and exit with status 1; anything
    else that escapes is a bug of ours and keeps its traceback.
    """
