"""Options that the studies share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

out_option = click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the runs, tables and figures; what is finished there is not run again.",
)
threads_option = click.option(
    "--threads",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="CPU threads; 0 means all that this process may use.",
)


def data_option(default: str) -> Callable[[Callable], Callable]:
    """--data-dir."""
    return click.option(
        "--data-dir", default=default, show_default=True, help="Where the images are."
    )
