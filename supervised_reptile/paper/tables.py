"""A row of the paper's tables 1 and 2 beside what came out, with a verdict for each cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from supervised_reptile.analysis.plots import COLORS, save
from supervised_reptile.analysis.study import Figure, Study, Table, own_command, write_study
from supervised_reptile.config import PRESETS, Config
from supervised_reptile.errors import counted
from supervised_reptile.flags import command_line
from supervised_reptile.paper.published import MODES, SHOTS, Published, published
from supervised_reptile.paper.table_runs import (
    EXPERIMENTS,
    SPLITS,
    Plan,
    configuration,
    evaluations,
    run_seed,
)
from supervised_reptile.runs.read_run import stored_evaluation
from supervised_reptile.system import machine

PAPER_EPISODES = 10_000
FIGURE = "cells.png"


class Cell(NamedTuple):
    """One accuracy in %, in every run."""

    shots: int
    mode: str
    means: np.ndarray  # float64 [seeds]
    half_widths: np.ndarray  # float64 [seeds], of the 95% intervals over episodes
    cited: Published

    @property
    def name(self) -> str:
        """As a row of the table is headed."""
        return f"{self.shots}-shot, {self.mode.replace('_', '-')}"

    @property
    def half_width(self) -> float:
        """Of the 95% interval of the mean over seeds: that of its episodes together."""
        return float(np.sqrt(np.square(self.half_widths).sum()) / len(self.half_widths))


def reproduce(plan: Plan) -> Study:
    """Run what is missing, then write the study into plan.out."""
    configs = [configuration(plan, seed) for seed in range(plan.seeds)]
    for config in configs:
        run_seed(plan, config)
    study = summarize(plan, configs)
    write_study(plan.out, study)
    return study


def summarize(plan: Plan, configs: Sequence[Config]) -> Study:
    """The study of finished runs; draws its figure."""
    experiment, cells = EXPERIMENTS[plan.experiment], collect(plan, configs)
    draw_cells(plan.out / FIGURE, cells, experiment.title)
    found = [[stored_evaluation(e, SPLITS) for e in evaluations(plan, c)] for c in configs]
    seconds = sum(max(each["training_seconds"] for each in of_seed) for of_seed in found)
    return Study(
        name=plan.experiment,
        title=f"{experiment.title}: the paper's tables",
        text=_text(configs[0], seconds / len(configs)),
        commands=_commands(plan, configs[0]),
        seconds=seconds,
        environment=machine.of_evaluations(chain.from_iterable(found)),
        tables=(table(cells),),
        figures=(Figure("Measured and published accuracies", FIGURE),),
        caveat=_caveat(plan, configs[0]),
    )


def collect(plan: Plan, configs: Sequence[Config]) -> list[Cell]:
    """The four cells of finished runs."""
    cited, cells = published(plan.experiment), []
    results = [[stored_evaluation(e, SPLITS) for e in evaluations(plan, c)] for c in configs]
    for i, shots in enumerate(SHOTS):
        for mode in MODES:
            found = [result[i]["accuracy"][mode]["test"] for result in results]
            means = np.array([100 * f["mean"] for f in found])
            # A single episode has no interval; one of width 0 is an interval.
            half_widths = np.array(
                [math.nan if f["half_width"] is None else 100 * f["half_width"] for f in found]
            )
            cells.append(Cell(shots, mode, means, half_widths, cited[shots, mode]))
    return cells


def table(cells: Sequence[Cell]) -> Table:
    """The cells beside what was published; the verdict is on the mean over seeds."""
    seeds = len(cells[0].means)
    columns = ["test classes, accuracy in %", *(f"seed {seed}" for seed in range(seeds))]
    columns += ["mean", "sd between runs"] * (seeds > 1)
    rows = [_row(cell) for cell in cells]
    note = "± is the half width of the 95% confidence interval over episodes."
    if seeds > 1:
        note += " The verdict is on the mean; sd is the standard deviation between the runs."
    return Table("Accuracy", (*columns, "paper", "re-runs", "verdict"), tuple(rows), note)


def _row(cell: Cell) -> tuple[str, ...]:
    each = [f"{m:.2f} ± {h:.2f}" for m, h in zip(cell.means, cell.half_widths, strict=True)]
    mean = float(cell.means.mean())
    if len(each) > 1:
        each += [f"{mean:.2f} ± {cell.half_width:.2f}", f"{cell.means.std(ddof=1):.2f}"]
    lowest, highest = (f"{value:.2f}" for value in cell.cited[1:])
    band = lowest if lowest == highest else f"{lowest} to {highest}"
    verdict = cell.cited.verdict(mean, cell.half_width)
    return (cell.name, *each, f"{cell.cited.paper:.2f}", band, verdict)


def draw_cells(path: Path, cells: Sequence[Cell], title: str) -> None:
    """A line for each cell: the re-runs' band, the paper's figure, and every run's interval."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(7, 3.2), layout="constrained")
    axes = canvas.subplots()
    axes.use_sticky_edges = False  # else a band at the edge is cut
    for line, cell in enumerate(cells):
        band = cell.cited.highest - cell.cited.lowest
        axes.barh(line, band, 0.7, cell.cited.lowest, color=COLORS[4], alpha=0.6, linewidth=3,
                  edgecolor=COLORS[4], label="independent re-runs")  # fmt: skip
        # Above the points: where they agree, one would hide the other.
        axes.plot(cell.cited.paper, line - 0.2, "x", color="black", label="the paper")
        heights = line + 0.1 + np.linspace(-0.2, 0.2, len(cell.means) + 2)[1:-1]
        for mean, half, y in zip(cell.means, cell.half_widths, heights, strict=True):
            axes.errorbar(mean, y, xerr=half, fmt="o", color=COLORS[0], capsize=3,
                          label="this program, 95% interval")  # fmt: skip
    axes.set(yticks=range(len(cells)), yticklabels=[cell.name for cell in cells])
    axes.set(xlabel="accuracy on test classes in %", title=title)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    canvas.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=3)
    save(canvas, path)


def _text(config: Config, seconds: float) -> str:
    return (
        f"{counted(config.outer_steps, 'outer step')}, {seconds / 60:.0f} minutes of training for "
        f"a run; {counted(config.eval_episodes, 'episode')} for each accuracy. The four cells "
        "share one training run. The re-runs' band spans independent runs of the original "
        "program; a cell passes inside it or above, or where its interval reaches it."
    )


def _commands(plan: Plan, config: Config) -> tuple[str, ...]:
    words = own_command(
        plan.experiment,
        ("--seeds", plan.seeds, 1),
        ("--fraction", f"{plan.fraction:g}", "1"),
        ("--eval-samples", plan.episodes, PAPER_EPISODES),
    )
    omit = ("threads", "checkpoint", "data_dir")
    return words, command_line(EXPERIMENTS[plan.experiment].script, config, omit)


def _caveat(plan: Plan, config: Config) -> str:
    """In what the study falls short of the paper's."""
    full, short = PRESETS[plan.experiment]["outer_steps"], []
    if config.outer_steps != full:
        short.append(
            f"trained for {counted(config.outer_steps, 'outer step')}, "
            f"{100 * config.outer_steps / full:.3g}% of the paper's {full:,}: "
            "the verdicts compare with the whole training"
        )
    if plan.episodes != PAPER_EPISODES:
        short.append(
            f"evaluated on {counted(plan.episodes, 'episode')} instead of {PAPER_EPISODES:,}"
        )
    return "; ".join(short)
