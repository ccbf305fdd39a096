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
    help="Directory for the runs, tables and figures. Finished runs in it are not repeated.",
)
threads_option = click.option(
    "--threads",
    default=0,
    show_default=True,
    type=Count(0, MOST_THREADS),
    help="Number of CPU threads; 0 uses all available.",
)


def data_option(default: str) -> Callable[[Callable], Callable]:
    """--data-dir."""
    return click.option(
        "--data-dir",
        default=default,
        show_default=True,
        type=Place(),
        help="Directory of the images.",
    )


jobs_option = click.option(
    "--jobs",
    default=cores(),
    show_default="all available cores",
    type=COUNT,
    help="Number of simultaneous training runs; each takes one core and about 1 GB of memory.",
)
fraction_option = click.option(
    "--fraction",
    default=1.0,
    show_default=True,
    type=Rate(0, 1, min_open=True),
    help="Fraction of the paper's outer steps, for a quick trial; every table states it.",
)


def episodes_option(default: int) -> Callable[[Callable], Callable]:
    """--eval-samples."""
    return click.option(
        "--eval-samples",
        default=default,
        show_default=True,
        type=Count(2),
        help="Number of episodes for each accuracy.",
    )
