"""The paper's tables 1 and 2: train, measure the cells of a row, compare them with the paper.

The four cells of a row, 1-shot and 5-shot, transductive or not, share one training run: training
never reads --shots when --train-shots is set.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from supervised_reptile.analysis.plots import COLORS, new_figure, save
from supervised_reptile.analysis.study import Figure, Study, own_command, write_study
from supervised_reptile.analysis.tables import Table
from supervised_reptile.config import (
    DATA,
    PRESETS,
    TRAINING,
    Config,
    Count,
    differing_flags,
    fields_of,
)
from supervised_reptile.errors import UserError, counted
from supervised_reptile.flags import command_line
from supervised_reptile.paper.options import (
    UNSHOWN,
    data_option,
    episodes_option,
    fraction_option,
    out_option,
    threads_option,
)
from supervised_reptile.paper.published import SHOTS, Published, published
from supervised_reptile.runs.read_run import holds_run, read_stored, stored_evaluation
from supervised_reptile.system import machine
from supervised_reptile.system.start_tensorflow import start_tensorflow
from supervised_reptile.training.sources import MINIIMAGENET, OMNIGLOT, Source

PAPER_EPISODES = 10_000
EVALUATED_SPLITS = ("test",)
FIGURE = "cells.png"
MAX_SEEDS = 1000  # a year and more of training


class TableRow(NamedTuple):
    """A row of the tables."""

    title: str
    source: Source
    data_dir: str  # where the data are by default
    eval_batch: dict[int, int]  # shots -> examples in an inner batch of evaluation


ROWS = {
    "omniglot-5way": TableRow("Omniglot, 5-way", OMNIGLOT, "data/omniglot", {1: 5, 5: 5}),
    "omniglot-20way": TableRow("Omniglot, 20-way", OMNIGLOT, "data/omniglot", {1: 10, 5: 10}),
    "miniimagenet-5way": TableRow(
        "Mini-ImageNet, 5-way", MINIIMAGENET, "data/miniimagenet", {1: 5, 5: 15}
    ),
}


# ---- training and evaluation


def finish_run(row: TableRow, config: Config) -> list[dict[str, Any]]:
    """Train and evaluate what is not stored yet; the evaluations, one for each of SHOTS.

    Raises:
      UserError: anything the user can mend; a run of other settings in the folder, for example.
      Interrupted: a signal came; the same command continues.
    """
    wanted = [dataclasses.replace(config, shots=s, eval_batch=row.eval_batch[s]) for s in SHOTS]
    missing = [each for each in wanted if not stored_evaluation(each, EVALUATED_SPLITS)]
    if missing:
        check_settings(config)
        start_tensorflow(config.threads)
        from supervised_reptile.training.experiment import open_experiment
        from supervised_reptile.training.request import Request

        # Evaluation fields are not explicit: every evaluation has its own configuration.
        explicit = frozenset(fields_of(TRAINING, DATA))
        resume = holds_run(Path(config.checkpoint))
        request = Request(config, explicit, row.source, resume=resume)
        with open_experiment(request) as experiment:
            if experiment.run.step < config.outer_steps:
                experiment.train()
            for each in missing:
                experiment.evaluate(each, EVALUATED_SPLITS)
    return [stored_evaluation(each, EVALUATED_SPLITS) for each in wanted]


def check_settings(config: Config) -> None:
    """Refuse to continue a run that was started otherwise, of another --fraction for example."""
    path = Path(config.checkpoint)
    if not holds_run(path):
        return
    stored = read_stored(path).config
    if differing := differing_flags(stored, config, fields_of(TRAINING), (TRAINING,)):
        raise UserError(
            f"{path} holds a run with other settings ({'; '.join(differing)}): give another --out, "
            "or its --fraction"
        )


# ---- the cells


class Cell(NamedTuple):
    """One accuracy in %, in every run."""

    shots: int
    mode: str
    means: np.ndarray  # float64 [seeds]
    half_widths: np.ndarray  # float64 [seeds], of the 95% intervals over episodes; NaN: unknown
    cited: Published

    @property
    def name(self) -> str:
        return f"{self.shots}-shot, {self.mode.replace('_', '-')}"

    @property
    def half_width(self) -> float:
        """Of the 95% interval of the mean over seeds: that of its episodes together."""
        return float(np.sqrt(np.square(self.half_widths).sum()) / len(self.half_widths))


def collect(name: str, evaluations: Sequence[Sequence[dict[str, Any]]]) -> list[Cell]:
    """The four cells of a row, from the evaluations of each seed, one for each of SHOTS."""
    cells = []
    for (shots, mode), cited in published(name).items():
        of_cell = [e[SHOTS.index(shots)]["accuracy"][mode]["test"] for e in evaluations]
        means = np.array([100 * accuracy["mean"] for accuracy in of_cell])
        halves = [accuracy["half_width"] for accuracy in of_cell]  # None of a single episode
        half_widths = np.array([math.nan if half is None else 100 * half for half in halves])
        cells.append(Cell(shots, mode, means, half_widths, cited))
    return cells


def table(cells: Sequence[Cell]) -> Table:
    """The cells beside what was published; the verdict is on the mean over seeds."""
    seeds = len(cells[0].means)
    columns = ["test classes, accuracy in %", *(f"seed {seed}" for seed in range(seeds))]
    columns += ["mean", "sd between runs"] * (seeds > 1)
    note = "± is the half width of the 95% confidence interval over episodes."
    if seeds > 1:
        note += " The verdict is on the mean; sd is the standard deviation between the runs."
    columns += ["paper", "re-runs", "verdict"]
    return Table("Accuracy", tuple(columns), tuple(map(_row, cells)), note)


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
    """A line for each cell: the re-runs' band, the paper's accuracy, and every run's interval."""
    figure = new_figure(7, 3.2)
    axes = figure.subplots()
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
    figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=3)
    save(figure, path)


# ---- the command


def caveat(name: str, config: Config) -> str:
    """In what the study falls short of the paper's."""
    full, short = PRESETS[name]["outer_steps"], []
    if config.outer_steps != full:
        short.append(
            f"trained for {counted(config.outer_steps, 'outer step')}, "
            f"{100 * config.outer_steps / full:.3g}% of the paper's {full:,}: "
            "the verdicts compare with the whole training"
        )
    if config.eval_episodes != PAPER_EPISODES:
        short.append(
            f"evaluated on {counted(config.eval_episodes, 'episode')} instead of {PAPER_EPISODES:,}"
        )
    return "; ".join(short)


def reproduce(name: str, fields: dict[str, Any], out: Path, seeds: int, again: str) -> Study:
    """Train and evaluate what is missing, and compare the cells with the paper."""
    row = ROWS[name]
    configs = [
        Config(**fields, seed=seed, checkpoint=str(out / f"seed-{seed}")) for seed in range(seeds)
    ]
    evaluations = [finish_run(row, config) for config in configs]
    cells = collect(name, evaluations)
    draw_cells(out / FIGURE, cells, row.title)
    first = configs[0]
    seconds = sum(max(e["training_seconds"] for e in of_seed) for of_seed in evaluations)
    return Study(
        name=name,
        title=f"{row.title}: the paper's tables",
        text=(
            f"{counted(first.outer_steps, 'outer step')}, {seconds / seeds / 60:.0f} minutes of "
            f"training for a run; {counted(first.eval_episodes, 'episode')} for each accuracy. The "
            "four cells share one training run. The re-runs' band spans independent runs of the "
            "original program; a cell passes inside it or above, or where its interval reaches it."
        ),
        commands=(again, command_line(row.source.command, first, UNSHOWN)),
        seconds=seconds,
        environment=machine.of_evaluations(chain.from_iterable(evaluations)),
        tables=(table(cells),),
        figures=(Figure("Measured and published accuracies", FIGURE),),
        caveat=caveat(name, first),
    )


def _command(name: str) -> click.Command:
    row = ROWS[name]

    @click.command(
        name,
        help=f"{row.title}: train once with the paper's settings, measure four accuracies (1-shot "
        "and 5-shot, transductive and not) and compare them with the paper and independent "
        "re-runs. After an interruption, the same command continues.",
    )
    @out_option
    @data_option("--data-dir", row.data_dir, row.title.partition(",")[0])
    @click.option(
        "--seeds",
        default=1,
        show_default=True,
        type=Count(1, MAX_SEEDS),
        help="Number of training runs, with seeds 0, 1, ...; several also show their spread.",
    )
    @fraction_option
    @episodes_option(PAPER_EPISODES)
    @threads_option
    def command(out: Path, data_dir: str, seeds: int, fraction: float, eval_samples: int,
                threads: int) -> None:  # fmt: skip
        fields = {
            **PRESETS[name],
            "outer_steps": max(1, round(fraction * PRESETS[name]["outer_steps"])),
            "data_dir": data_dir,
            "eval_episodes": eval_samples,
            "transductive": True,
            "both_modes": True,
            "threads": threads,
        }
        again = own_command(
            name,
            ("--seeds", seeds, 1),
            ("--fraction", f"{fraction:g}", "1"),
            ("--eval-samples", eval_samples, PAPER_EPISODES),
        )
        study = reproduce(name, fields, out, seeds, again)
        write_study(out, study)
        study.show(out)

    return command


omniglot_5way, omniglot_20way, miniimagenet_5way = map(_command, ROWS)
