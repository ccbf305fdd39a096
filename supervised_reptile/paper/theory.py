"""`reptile reproduce theory`: section 5.1 of the paper, on a small problem and on Omniglot."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import click
import numpy as np

from supervised_reptile.analysis.learning_curves import (
    ALIGNMENT_FIGURE,
    PAIR_NAMES,
    plot_alignment,
)
from supervised_reptile.analysis.plots import pooled
from supervised_reptile.analysis.study import Figure, Study, own_command, write_study
from supervised_reptile.analysis.tables import Table
from supervised_reptile.config import COUNT, PRESETS, Config
from supervised_reptile.errors import counted
from supervised_reptile.flags import command_line
from supervised_reptile.paper.options import UNSHOWN, out_option, threads_option
from supervised_reptile.paper.parallel_runs import final_evaluation, run_parallel
from supervised_reptile.runs.gradient_alignment import MEASURES, PAIRS, TASKS
from supervised_reptile.runs.read_run import read_alignment
from supervised_reptile.system.atomic_files import writing
from supervised_reptile.system.machine import of_evaluations
from supervised_reptile.system.path_type import Place
from supervised_reptile.system.start_tensorflow import start_tensorflow

OUTER_STEPS = 2000
LAST_SHARE = 0.1  # of the evaluations: the end of training, in the table


def with_alignment(study: Study, config: Config) -> Study:
    """`study` and what the finished training of `config` has measured."""
    path = Path(config.checkpoint)
    with writing(path.parents[1]):
        plot_alignment(path, path.parents[1] / ALIGNMENT_FIGURE)
    evaluation = final_evaluation(config)
    reached = 100 * evaluation["accuracy"]["transductive"]["test"]["mean"]
    steps = counted(config.outer_steps, "outer step")
    command = own_command(
        "theory",
        ("--data-dir", f"{Config.data_dir}/omniglot", None),
        ("--outer-steps", config.outer_steps, OUTER_STEPS),
    )
    short = config.outer_steps != OUTER_STEPS
    return dataclasses.replace(
        study,
        text=(
            f"{study.text}\n\n"
            "AvgGradInner is half the gradient of E[g1 . g2], the inner product of the gradients "
            "of two mini-batches of a task: if moving along it is what matters, they come to agree "
            "during training. Measured on Omniglot: Reptile at the paper's 5-way setting, "
            f"{steps}, which reached {reached:.1f}% on test classes (5-shot, transductive). At "
            "every evaluation gradients were taken at the current initialization, of mini-batches "
            "of the same task and of different tasks, drawn from training classes as in training."
        ),
        commands=(command, command_line("run_omniglot.py", config, UNSHOWN)),
        seconds=study.seconds + evaluation["training_seconds"],
        environment=of_evaluations(({"environment": study.environment}, evaluation)),
        tables=(*study.tables, alignment_table(read_alignment(path))),
        figures=(
            *study.figures,
            Figure("Gradients of mini-batches during training", ALIGNMENT_FIGURE),
        ),
        caveat=f"{steps} on Omniglot instead of {OUTER_STEPS:,}" if short else "",
    )


def alignment_table(columns: Mapping[str, np.ndarray]) -> Table:
    """Gradients' products and cosines at the beginning and at the end of a training."""
    count = len(columns["step"])
    last = max(1, round(count * LAST_SHARE))
    rows = []
    for pair in PAIRS:
        cells = [PAIR_NAMES[pair]]
        for measure, digits in zip(MEASURES, (0, 3), strict=True):
            values, errors = columns[f"{pair}_{measure}"], columns[f"{pair}_{measure}_error"]
            for part in (slice(0, 1), slice(count - last, count)):
                curve = pooled(values[part], errors[part], count)
                cells.append(f"{curve.mean[0]:,.{digits}f} ± {curve.error[0]:.{digits}f}")
        rows.append(tuple(cells))
    names = [name for measure in MEASURES.values() for name in (f"{measure}, start", "end")]
    start = columns["step"][-last]
    note = (
        f"Means over pairs of mini-batches of {TASKS} tasks, ± standard error. Start: after the "
        f"first outer step; end: the last {last} evaluations, from step {start:,} on."
    )
    return Table("Gradients of two mini-batches", ("batches of", *names), tuple(rows), note)


@click.command()
@out_option
@click.option(
    "--data-dir",
    type=Place(),
    help="Directory of Omniglot's images: also train on them and measure how well gradients of "
    "mini-batches agree. Without it, only the small problem (seconds).",
)
@click.option(
    "--outer-steps",
    default=OUTER_STEPS,
    show_default=True,
    type=COUNT,
    help="Number of outer steps of that training.",
)
@threads_option
def theory(out: Path, data_dir: str | None, outer_steps: int, threads: int) -> None:
    """Section 5.1: check the predicted updates of joint training, FOML, MAML and Reptile.

    On a small smooth problem the expected updates are computed exactly, for 2 to 6 inner steps and
    ever smaller inner learning rates, and compared with the prediction. With --data-dir, Reptile
    also trains on Omniglot with --log-alignment. After an interruption, the same command
    continues.
    """
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    start_tensorflow(threads)
    from supervised_reptile.paper.taylor_study import measured_study

    study = measured_study(out)
    config = Config(
        **{**PRESETS["omniglot-5way"], "outer_steps": outer_steps},
        checkpoint=str(out / "runs" / "alignment"),
        data_dir=data_dir or "",
        eval_episodes=200,
        transductive=True,
        log_alignment=True,
        threads=threads,
    )
    if data_dir is not None:
        run_parallel([config], at_once=1)
    if final_evaluation(config):
        study = with_alignment(study, config)
    write_study(out, study)
    study.show(out)
