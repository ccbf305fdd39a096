"""The paper's section 6.3: what becomes of FOML when its last inner batch was seen before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from supervised_reptile.analysis.plots import COLORS, Label, label_ends, new_figure, save
from supervised_reptile.analysis.statistics import Accuracy, accuracy
from supervised_reptile.analysis.study import Figure, Study, own_command, write_csv, write_study
from supervised_reptile.analysis.tables import Table
from supervised_reptile.config import COUNT, Config
from supervised_reptile.errors import counted
from supervised_reptile.flags import command_line
from supervised_reptile.paper.options import (
    UNSHOWN,
    data_option,
    episodes_option,
    jobs_option,
    out_option,
)
from supervised_reptile.paper.parallel_runs import final_evaluation, run_parallel, small_run
from supervised_reptile.runs.read_run import read_episodes
from supervised_reptile.system import machine

OUTER_STEPS, EPISODES = 2000, 400  # by default: the shape shows
FIGURE = "overlap.png"
WAY, TRAIN_SHOTS, TAIL_SHOTS = 5, 20, 5  # Omniglot has 20 examples of a class
# What a panel does not vary; 4 batches of 25 are a pass over the examples.
FIXED = {"inner_steps": 4, "inner_batch": 25, "outer_step_size": 0.25}


class Variant(NamedTuple):
    """An algorithm, and where its last inner batch comes from."""

    label: str
    name: str
    fields: dict[str, object]  # of Config


VARIANTS = (
    Variant("Reptile", "reptile", {}),
    Variant("FOML, separate tail", "separate", {"algorithm": "foml", "tail_shots": TAIL_SHOTS}),
    Variant("FOML, shared tail, replacement", "replacement",
            {"algorithm": "foml", "replacement": True}),
    Variant("FOML, shared tail, cycling", "cycling", {"algorithm": "foml"}),
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
    variant: Variant
    value: float
    config: Config


def points(out: Path, **sizes: Any) -> list[Point]:
    """Every run of every panel; runs that panels share have the same directory."""
    return [
        Point(panel, variant, value, configuration(panel, variant, value, out, **sizes))
        for panel in PANELS
        for variant in VARIANTS
        for value in panel.values
    ]


def configuration(panel: Panel, variant: Variant, value: float, out: Path, **sizes: Any) -> Config:
    """The run of one point."""
    fields = {**FIXED, **panel.fixed, panel.field: value}
    name = "{}-{inner_steps}x{inner_batch}-{outer_step_size:g}".format(variant.name, **fields)
    return small_run(
        out,
        name,
        way=WAY,
        train_shots=TRAIN_SHOTS,
        eval_interval=max(1, sizes["outer_steps"] // 4),
        transductive=True,
        **fields,
        **variant.fields,
        **sizes,
    )


Results = Sequence[tuple[Point, Accuracy]]


def read_accuracy(config: Config) -> Accuracy:
    """The accuracy on test classes that the finished run of `config` has measured."""
    correct = read_episodes(Path(config.checkpoint), final_evaluation(config))
    return accuracy(correct["transductive_test"], config.way)


def draw(path: Path, results: Results) -> None:
    """Three panels with the same vertical axis, a curve for each variant."""
    figure = new_figure(12, 4)
    for axes, panel in zip(figure.subplots(1, 3, sharey=True), PANELS, strict=True):
        ends = []
        for variant, color, marker in zip(VARIANTS, COLORS, "os^D", strict=False):
            curve = curve_of(results, panel, variant)
            mean = [100 * result.mean for result in curve]
            error = [100 * (result.half_width or 0) for result in curve]
            axes.errorbar(
                panel.values, mean, error, color=color, marker=marker, markersize=4, capsize=2
            )
            ends.append(Label(variant.label, panel.values[-1], mean[-1], color))
        axes.set_xlabel(panel.title)
        axes.grid(alpha=0.3)
        if panel.logarithmic:
            axes.set_xscale("log")
            axes.set_xticks(panel.values, [f"{value:g}" for value in panel.values])
            axes.minorticks_off()
    figure.axes[0].set_ylabel("accuracy on test classes in %")
    figure.axes[-1].set_ylim(figure.axes[-1].get_ylim())
    label_ends(figure.axes[-1], ends)
    save(figure, path)


def curve_of(results: Results, panel: Panel, variant: Variant) -> list[Accuracy]:
    """The accuracies at the panel's values."""
    return [result for p, result in results if p.panel == panel and p.variant == variant]


def study_of(results: Results) -> Study:
    """The tables, and how they were made."""
    config = results[0][0].config
    evaluations = list(
        {p.config.checkpoint: final_evaluation(p.config) for p, _ in results}.values()
    )
    own = own_command(
        "overlap",
        ("--outer-steps", config.outer_steps, OUTER_STEPS),
        ("--eval-samples", config.eval_episodes, EPISODES),
    )
    short = f"{counted(config.outer_steps, 'outer step')} in each run instead of {OUTER_STEPS:,}"
    return Study(
        name="overlap",
        title="Overlap of the inner batches in FOML",
        text=(
            f"5-way Omniglot, 5-shot evaluation, transductive; inner SGD, {config.outer_steps:,} "
            f"outer steps of one task, seed 0. A task has {TRAIN_SHOTS} examples of each class. "
            "FOML's last batch (tail) comes from the same examples as the others, by cycling "
            "through them or drawn again each time, or from five examples of each class that are "
            f"set aside. Once the inner steps have used all {WAY * TRAIN_SHOTS} examples (more "
            "than four batches of 25), a cycling tail repeats what the task has been fitted to."
        ),
        commands=(own, command_line("run_omniglot.py", config, UNSHOWN)),
        seconds=sum(evaluation["training_seconds"] for evaluation in evaluations),
        environment=machine.of_evaluations(evaluations),
        tables=tuple(table(results, panel) for panel in PANELS),
        figures=(Figure("Accuracy after training", FIGURE),),
        caveat=short if config.outer_steps != OUTER_STEPS else "",
    )


def table(results: Results, panel: Panel) -> Table:
    """One panel in numbers."""
    rows = []
    for variant in VARIANTS:
        cells = (
            f"{100 * result.mean:.1f} ± {100 * (result.half_width or 0):.1f}"
            for result in curve_of(results, panel, variant)
        )
        rows.append((variant.label, *cells))
    columns = (panel.title, *(f"{value:g}" for value in panel.values))
    episodes = results[0][1].episodes
    note = f"Accuracy in %, ± half width of the 95% interval over {episodes:,} episodes."
    return Table(f"Against {panel.title}", columns, tuple(rows), note)


@click.command()
@out_option
@data_option("--data-dir", "data/omniglot", "Omniglot")
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
    asked = points(out, data_dir=data_dir, outer_steps=outer_steps, eval_episodes=eval_samples)
    run_parallel(list({point.config.checkpoint: point.config for point in asked}.values()), jobs)
    results = [(point, read_accuracy(point.config)) for point in asked]
    header = ("varied", "value", "method", "accuracy", "half_width", "episodes")
    rows = [(p.panel.field, p.value, p.variant.label, *result) for p, result in results]
    write_csv(out / "overlap.csv", header, rows)
    draw(out / FIGURE, results)
    study = study_of(results)
    write_study(out, study)
    study.show(out)
