"""Progress bars: tqdm's, on terminals only."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm


class Bar(tqdm):
    """tqdm's, which says nothing where nobody looks, nor where Ctrl-C meets it half made."""

    # What __del__ finds of one half made, which older versions of tqdm take for granted.
    disable = True

    def __init__(self, *args: Any, **how: Any) -> None:
        super().__init__(*args, **{"disable": None, **how})
