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
        help=f"{row.title}: one training run at the paper's setting gives four accuracies (1-shot "
        "and 5-shot, transductive and not), each set beside the paper's and independent "
        "re-runs'. Interrupt it at will: the same command continues.",
    )
    @out_option
    @data_option(row.data_dir)
    @click.option(
        "--seeds",
        default=1,
        show_default=True,
        type=Count(1, MOST_RUNS),
        help="Training runs, of seeds 0, 1, ...; adds the spread between them.",
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
