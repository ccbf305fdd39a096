"""The paper's section 6.3: what becomes of FOML when its last inner batch was seen before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click

from supervised_reptile.analysis.plots import COLORS, Label, label_ends, save
from supervised_reptile.analysis.statistics import Accuracy, accuracy
from supervised_reptile.analysis.study import (
    Figure,
    Study,
    Table,
    own_command,
    write_csv,
    write_study,
)
from supervised_reptile.config import COUNT, Config
from supervised_reptile.errors import counted
from supervised_reptile.flags import command_line
from supervised_reptile.paper.options import (
    data_option,
    episodes_option,
    jobs_option,
    out_option,
)
from supervised_reptile.paper.run_jobs import Job, Plan, run_jobs
from supervised_reptile.runs.read_run import read_episodes
from supervised_reptile.system import machine

OUTER_STEPS, EPISODES = 2000, 400  # by default: the shape shows
FIGURE, DATA = "overlap.png", "overlap.csv"
WAY, TRAIN_SHOTS, TAIL_SHOTS = 5, 20, 5  # Omniglot has 20 examples of a class
INNER_STEPS, INNER_BATCH, OUTER_STEP = 4, 25, 0.25  # what a panel does not vary: 4 x 25 is a pass


class Method(NamedTuple):
    """How the outer update is made."""

    label: str
    name: str
    flags: dict[str, object]  # fields of Config


METHODS = (
    Method("Reptile", "reptile", {}),
    Method("FOML, separate tail", "separate", {"algorithm": "foml", "tail_shots": TAIL_SHOTS}),
    Method("FOML, shared tail, replacement", "replacement",
           {"algorithm": "foml", "replacement": True}),
    Method("FOML, shared tail, cycling", "cycling", {"algorithm": "foml"}),
)  # fmt: skip


class Panel(NamedTuple):
    """One of the three plots."""

    title: str
    field: str  # of Config, on the horizontal axis
    values: tuple[float, ...]
    fixed: dict[str, object]
    logarithmic: bool = False


PANELS = (
    Panel("inner iterations, batches of 25", "inner_steps", (2, 3, 4, 5, 6, 8, 10), {}),
    Panel("inner batch size, 4 iterations", "inner_batch", (10, 15, 20, 25, 30, 40, 50), {}),
    Panel("outer step size, 8 iterations of 25", "outer_step_size", (0.05, 0.1, 0.25, 0.5, 1.0),
          {"inner_steps": 8}, logarithmic=True),
)  # fmt: skip


class Point(NamedTuple):
    """One run in one panel."""

    panel: Panel
    method: Method
    value: float
    job: Job


def points(plan: Plan) -> list[Point]:
    """Every run of every panel; runs that panels share have the same directory."""
    found = []
    for panel in PANELS:
        for method in METHODS:
            for value in panel.values:
                varied = {**panel.fixed, **method.flags, panel.field: value}
                config = configuration(method, varied, plan)
                name = Path(config.checkpoint).name
                found.append(Point(panel, method, value, Job(name, config)))
    return found


def configuration(method: Method, varied: dict[str, object], plan: Plan) -> Config:
    """5-way Omniglot, inner SGD, one task for each outer step, as in section 6.2."""
    values = {
        "inner_steps": INNER_STEPS,
        "inner_batch": INNER_BATCH,
        "outer_step_size": OUTER_STEP,
        **varied,
    }
    name = "{}-{inner_steps}x{inner_batch}-{outer_step_size:g}".format(method.name, **values)
    return Config(
        checkpoint=str(plan.out / "runs" / name),
        data_dir=plan.data_dir,
        way=WAY,
        train_shots=TRAIN_SHOTS,
        inner_rate=0.003,
        sgd=True,
        outer_step_size_final=0.0,
        outer_steps=plan.outer_steps,
        eval_batch=25,
        eval_steps=5,
        eval_interval=max(1, plan.outer_steps // 4),
        eval_episodes=plan.episodes,
        transductive=True,
        threads=1,
        **values,
    )


def reproduce(plan: Plan) -> Study:
    """Run what is missing, then write figure, table and study into plan.out."""
    asked = points(plan)
    run_jobs(list({point.job.name: point.job for point in asked}.values()), plan.at_once)
    results = [(point, _accuracy(point.job)) for point in asked]
    header = ("varied", "value", "method", "accuracy", "half_width", "episodes")
    rows = [(p.panel.field, p.value, p.method.label, *result) for p, result in results]
    write_csv(plan.out / DATA, header, rows)
    draw(plan.out / FIGURE, results)
    study = _study(results, plan)
    write_study(plan.out, study)
    return study


def _accuracy(job: Job) -> Accuracy:
    correct = read_episodes(job.path, job.evaluation)["transductive_test"]
    return accuracy(correct, job.config.way)


Results = Sequence[tuple[Point, Accuracy]]


def draw(path: Path, results: Results) -> None:
    """Three panels with the same vertical axis, a curve for each method."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(12, 4), layout="constrained")
    for axes, panel in zip(canvas.subplots(1, 3, sharey=True), PANELS, strict=True):
        ends = []
        for method, color, marker in zip(METHODS, COLORS, "os^D", strict=False):
            found = _curve(results, panel, method)
            x = [point.value for point, _ in found]
            y = [100 * result.mean for _, result in found]
            error = [100 * (result.half_width or 0) for _, result in found]
            axes.errorbar(x, y, error, color=color, marker=marker, markersize=4, capsize=2)
            ends.append(Label(method.label, x[-1], y[-1], color))
        axes.set_xlabel(panel.title)
        axes.grid(alpha=0.3)
        if panel.logarithmic:
            axes.set_xscale("log")
            axes.set_xticks(panel.values, [f"{value:g}" for value in panel.values])
            axes.minorticks_off()
    canvas.axes[0].set_ylabel("accuracy on test classes in %")
    canvas.axes[-1].set_ylim(canvas.axes[-1].get_ylim())
    label_ends(canvas.axes[-1], ends)
    save(canvas, path)


def _curve(results: Results, panel: Panel, method: Method) -> list[tuple[Point, Accuracy]]:
    return [each for each in results if each[0].panel == panel and each[0].method == method]


def _study(results: Results, plan: Plan) -> Study:
    omit = ("threads", "checkpoint", "data_dir")
    jobs = {point.job.name: point.job for point, _ in results}.values()
    evaluations = [job.evaluation for job in jobs]
    own = own_command(
        "overlap",
        ("--outer-steps", plan.outer_steps, OUTER_STEPS),
        ("--eval-samples", plan.episodes, EPISODES),
    )
    short = f"{counted(plan.outer_steps, 'outer step')} in each run instead of {OUTER_STEPS:,}"
    example = command_line("run_omniglot.py", results[0][0].job.config, omit)
    return Study(
        name="overlap",
        title="Overlap of the inner batches in FOML",
        text=(
            f"5-way Omniglot, 5-shot evaluation, transductive; inner SGD, {plan.outer_steps:,} "
            f"outer steps of one task, seed 0. A task has {TRAIN_SHOTS} examples of each class. "
            "FOML's last batch (tail) comes from the same examples as the others, by cycling "
            "through them or drawn anew each time, or from five examples of each class that are "
            f"set aside. Once the inner steps have used all {WAY * TRAIN_SHOTS} examples (more "
            "than four batches of 25), a cycling tail repeats what the task has been fitted to."
        ),
        commands=(own, example),
        seconds=sum(evaluation["training_seconds"] for evaluation in evaluations),
        environment=machine.of_evaluations(evaluations),
        tables=tuple(table(results, panel) for panel in PANELS),
        figures=(Figure("Accuracy after training", FIGURE),),
        caveat=short if plan.outer_steps != OUTER_STEPS else "",
    )


def table(results: Results, panel: Panel) -> Table:
    """One panel in numbers."""
    rows = []
    for method in METHODS:
        cells = [
            f"{100 * result.mean:.1f} ± {100 * (result.half_width or 0):.1f}"
            for _, result in _curve(results, panel, method)
        ]
        rows.append((method.label, *cells))
    columns = (panel.title, *(f"{value:g}" for value in panel.values))
    episodes = results[0][1].episodes
    note = f"Accuracy in %, ± half width of the 95% interval over {episodes:,} episodes."
    return Table(f"Against {panel.title}", columns, tuple(rows), note)


@click.command()
@out_option
@data_option("data/omniglot")
@click.option(
    "--outer-steps",
    default=OUTER_STEPS,
    show_default=True,
    type=COUNT,
    help="Number of outer steps of each run.",
)
@episodes_option(EPISODES)
@jobs_option
def overlap(out: Path, data_dir: str, outer_steps: int, eval_samples: int, jobs: int) -> None:
    """Section 6.3: compare FOML and Reptile over inner steps, inner batch and outer step size.

    Several runs train at the same time. After an interruption, the same command continues.
    """
    reproduce(Plan(out, data_dir, outer_steps, eval_samples, jobs)).show(out)
