"""`reptile reproduce theory`: section 5.1 of the paper measured, and watched on Omniglot."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from supervised_reptile.analysis.learning_curves import (
    ALIGNMENT_FIGURE,
    PAIR_NAMES,
    plot_alignment,
)
from supervised_reptile.analysis.plots import pooled
from supervised_reptile.analysis.study import Figure, Study, Table, own_command, write_study
from supervised_reptile.config import COUNT, PRESETS, Config
from supervised_reptile.errors import counted
from supervised_reptile.flags import command_line
from supervised_reptile.paper.options import out_option, threads_option
from supervised_reptile.paper.run_jobs import Job, run_jobs
from supervised_reptile.runs.gradient_alignment import MEASURES, PAIRS, TASKS
from supervised_reptile.runs.read_run import read_alignment
from supervised_reptile.system.atomic_files import writing
from supervised_reptile.system.machine import of_evaluations
from supervised_reptile.system.path_type import Place
from supervised_reptile.system.start_tensorflow import start_tensorflow

OUTER_STEPS = 2000
LAST_SHARE = 0.1  # of the looks, for what stands in the table as the end of training


class Plan(NamedTuple):
    """What was asked for."""

    out: Path
    data_dir: str | None  # where Omniglot is; None: no training
    outer_steps: int
    threads: int

    @property
    def job(self) -> Job:
        """The training that watches how well gradients agree."""
        config = Config(
            **{**PRESETS["omniglot-5way"], "outer_steps": self.outer_steps},
            checkpoint=str(self.out / "runs" / "alignment"),
            data_dir=self.data_dir or "",
            eval_episodes=200,
            transductive=True,
            log_alignment=True,
            threads=self.threads,
        )
        return Job("alignment", config)


def reproduce(plan: Plan) -> Study:
    """Measure, train what is missing, and write figures, tables and study into plan.out."""
    with writing(plan.out):
        plan.out.mkdir(parents=True, exist_ok=True)
    start_tensorflow(plan.threads)
    from supervised_reptile.paper.taylor_study import measured_study

    study = measured_study(plan.out)
    job = plan.job
    if plan.data_dir is not None:
        run_jobs([job], at_once=1)
    if job.finished:
        study = with_alignment(study, plan)
    write_study(plan.out, study)
    return study


def with_alignment(study: Study, plan: Plan) -> Study:
    """`study` and what the finished training has shown."""
    job = plan.job
    columns = read_alignment(job.path)
    with writing(plan.out):
        plot_alignment(job.path, plan.out / ALIGNMENT_FIGURE)
    evaluation = job.evaluation
    command = own_command(
        "theory",
        ("--data-dir", f"{Config.data_dir}/omniglot", None),
        ("--outer-steps", plan.outer_steps, OUTER_STEPS),
    )
    omit = ("threads", "checkpoint", "data_dir")
    short = f"{counted(plan.outer_steps, 'outer step')} on Omniglot instead of {OUTER_STEPS:,}"
    return dataclasses.replace(
        study,
        text=f"{study.text}\n\n{_alignment_text(plan, evaluation['accuracy'])}",
        commands=(command, command_line("run_omniglot.py", job.config, omit)),
        seconds=study.seconds + evaluation["training_seconds"],
        environment=of_evaluations(({"environment": study.environment}, evaluation)),
        tables=(*study.tables, alignment_table(columns)),
        figures=(
            *study.figures,
            Figure("Gradients of mini-batches during training", ALIGNMENT_FIGURE),
        ),
        caveat=short if plan.outer_steps != OUTER_STEPS else "",
    )


def alignment_table(columns: Mapping[str, np.ndarray]) -> Table:
    """Gradients' products and cosines at the beginning and at the end of a training."""
    looks = len(columns["step"])
    last = max(1, round(looks * LAST_SHARE))
    rows = []
    for pair in PAIRS:
        cells = [PAIR_NAMES[pair]]
        for measure, digits in zip(MEASURES, (0, 3), strict=True):
            values, errors = columns[f"{pair}_{measure}"], columns[f"{pair}_{measure}_error"]
            for part in (slice(0, 1), slice(looks - last, looks)):
                curve = pooled(values[part], errors[part], looks)
                cells.append(f"{curve.mean[0]:,.{digits}f} ± {curve.error[0]:.{digits}f}")
        rows.append(tuple(cells))
    names = [name for measure in MEASURES.values() for name in (f"{measure}, start", "end")]
    note = (
        f"Means over pairs of mini-batches of {TASKS} tasks, ± standard error. Start: after the "
        f"first outer step; end: the last {last} looks, from step {columns['step'][-last]:,} on."
    )
    return Table("Gradients of two mini-batches", ("batches of", *names), tuple(rows), note)


def _alignment_text(plan: Plan, accuracy: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    reached = 100 * accuracy["transductive"]["test"]["mean"]
    return (
        "AvgGradInner is half the gradient of E[g1 . g2], the inner product of the gradients of "
        "two mini-batches of a task: if moving along it is what matters, they come to agree during "
        "training. Watched on Omniglot: Reptile at the paper's 5-way setting, "
        f"{counted(plan.outer_steps, 'outer step')}, which reached {reached:.1f}% on test classes "
        "(5-shot, transductive). At every look gradients were taken at the current initialization, "
        "of mini-batches of the same task and of different tasks, drawn from training classes as "
        "in training."
    )


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
    reproduce(Plan(out, data_dir, outer_steps, threads)).show(out)
