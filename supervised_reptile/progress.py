"""Progress bars: tqdm's, on terminals only."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm


class Bar(tqdm):
    """tqdm's, which says nothing where nobody looks, nor where Ctrl-C meets it half made."""

    disable = True  # for the __del__ of older versions of tqdm, which asks for it whether it was set or not

    def __init__(self, *args: Any, **how: Any) -> None:
        super().__init__(*args, **{"disable": None, **how})
