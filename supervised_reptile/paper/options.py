"""Options and names that the studies share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from supervised_reptile.config import COUNT, MOST_THREADS, Count, Rate
from supervised_reptile.system.path_type import Place
from supervised_reptile.system.thread_pool import cores

ALGORITHM_NAMES = {
    "reptile": "Reptile", "foml": "FOML", "maml": "MAML", "joint": "joint training",
}  # fmt: skip
UNSHOWN = ("threads", "checkpoint", "data_dir")  # fields left out of the commands of a study

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


def data_option(flag: str, default: str, images: str) -> Callable[[Callable], Callable]:
    text = f"Directory of {images}'s images."
    return click.option(flag, default=default, show_default=True, type=Place(), help=text)


def episodes_option(default: int) -> Callable[[Callable], Callable]:
    text = "Number of episodes for each accuracy."
    return click.option(
        "--eval-samples", default=default, show_default=True, type=Count(2), help=text
    )
