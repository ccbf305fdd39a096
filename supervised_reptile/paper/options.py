"""Options that the studies share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from supervised_reptile.config import COUNT, MOST_THREADS, Count, Rate
from supervised_reptile.system.path_type import Place
from supervised_reptile.system.thread_pool import cores

out_option = click.option(
    "--out",
    required=True,
    type=Place(file_okay=False, path_type=Path),
    help="Folder for the runs, tables and figures; what is finished there is not run again.",
)
threads_option = click.option(
    "--threads",
    default=0,
    show_default=True,
    type=Count(0, MOST_THREADS),
    help="CPU threads; 0 means all that this process may use.",
)


def data_option(default: str) -> Callable[[Callable], Callable]:
    """--data-dir."""
    return click.option(
        "--data-dir", default=default, show_default=True, type=Place(), help="Where the images are."
    )


jobs_option = click.option(
    "--jobs",
    default=cores(),
    show_default="the cores that this process may use",
    type=COUNT,
    help="Training runs side by side, one core and about 1 GB of memory each.",
)
fraction_option = click.option(
    "--fraction",
    default=1.0,
    show_default=True,
    type=Rate(0, 1, min_open=True),
    help="Share of the paper's outer steps, for a quick look; every table says so.",
)


def episodes_option(default: int) -> Callable[[Callable], Callable]:
    """--eval-samples."""
    return click.option(
        "--eval-samples",
        default=default,
        show_default=True,
        type=Count(2),
        help="Episodes for each accuracy.",
    )
