"""`reptile reproduce omniglot-5way | omniglot-20way | miniimagenet-5way`."""

from __future__ import annotations

from pathlib import Path

import click

from supervised_reptile.config import Count
from supervised_reptile.paper.options import (
    data_option,
    episodes_option,
    fraction_option,
    out_option,
    threads_option,
)
from supervised_reptile.paper.table_runs import EXPERIMENTS, Plan
from supervised_reptile.paper.tables import PAPER_EPISODES, reproduce

MOST_RUNS = 1000  # a year and more of training


def _command(experiment: str) -> click.Command:
    row = EXPERIMENTS[experiment]

    @click.command(
        experiment,
        help=f"{row.title}: train once with the paper's settings, measure four accuracies (1-shot "
        "and 5-shot, transductive and not) and compare them with the paper and independent "
        "re-runs. After an interruption, the same command continues.",
    )
    @out_option
    @data_option(row.data_dir)
    @click.option(
        "--seeds",
        default=1,
        show_default=True,
        type=Count(1, MOST_RUNS),
        help="Number of training runs, with seeds 0, 1, ...; several also show their spread.",
    )
    @fraction_option
    @episodes_option(PAPER_EPISODES)
    @threads_option
    def command(out: Path, data_dir: str, seeds: int, fraction: float, eval_samples: int,
                threads: int) -> None:  # fmt: skip
        study = reproduce(Plan(experiment, out, data_dir, seeds, fraction, eval_samples, threads))
        study.show(out)

    return command


omniglot_5way, omniglot_20way, miniimagenet_5way = map(_command, EXPERIMENTS)
