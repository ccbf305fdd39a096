"""Progress bars (tqdm, on terminals only) and the size of the terminal."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Any, TextIO

from tqdm import tqdm

USUAL_SIZE = os.terminal_size((80, 24))  # columns and lines of a terminal that gives none
LEAST_COLUMNS, LEAST_LINES = 10, 2


def terminal_size(screen: TextIO) -> os.terminal_size:
    """Columns and lines of a terminal; USUAL_SIZE where it has 0 x 0, as in `script` and CI."""
    try:
        size = os.get_terminal_size(screen.fileno())
    except (AttributeError, OSError, ValueError):  # not a real one
        size = shutil.get_terminal_size()
    usable = size.columns >= LEAST_COLUMNS and size.lines >= LEAST_LINES
    return size if usable else USUAL_SIZE


class Bar(tqdm):
    """A tqdm bar that is silent when stderr is closed or not a terminal, and survives Ctrl-C during
    construction.
    """

    # What __del__ finds of one half made, which older versions of tqdm take for granted.
    disable = True

    def __init__(self, *args: Any, **how: Any) -> None:
        if sys.stderr is None:  # closed
            how = {**how, "disable": True}
        else:
            columns, lines = terminal_size(sys.stderr)
            how = {"ncols": columns, "nrows": lines, "disable": None, **how}
        super().__init__(*args, **how)
