"""Curves of runs over outer steps: accuracies during training, and gradient alignment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from supervised_reptile.analysis.plots import (
    COLORS,
    LABEL_HEIGHT,
    LABEL_WIDTH,
    SMOOTHING_SHARE,
    Label,
    curve_style,
    label_ends,
    new_figure,
    pooled,
    save,
    smoothed,
    tidy,
    write_title,
)
from supervised_reptile.data.dataset import SPLIT_NAMES
from supervised_reptile.errors import UserError
from supervised_reptile.runs.gradient_alignment import MEASURES, PAIRS, TASKS
from supervised_reptile.runs.read_run import read_alignment, read_metrics, short_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HELD_OUT = "held-out"  # the validation classes where a run has them, else the test classes
DASHES = ("-", "--", ":")  # of the splits, where colours are for runs
MAX_BANDS = 3  # curves in a figure that are drawn with their error
MAX_NAME = 48  # characters
ALIGNMENT_FIGURE = "alignment.png"
PAIR_NAMES = {"same": "same task", "different": "different tasks"}


class Series(NamedTuple):
    """One curve: a run's accuracy on one split."""

    name: str
    steps: np.ndarray  # int64 [evaluations], outer steps
    accuracies: np.ndarray  # float64 [evaluations], 0 ... 1
    color: str
    marker: str = ""
    dash: str = "-"


def plot_learning_curve(run: Path) -> Path | None:
    """Draw the accuracies in `run`/metrics.jsonl as learning_curve.png; None if there are none."""
    metrics = read_metrics(run)
    if not metrics:
        return None
    splits = [name for name in metrics if name != "step"]
    series = [
        Series(f"{split} classes", metrics["step"], metrics[split], *curve_style(i))
        for i, split in enumerate(splits)
    ]
    path = run / "learning_curve.png"
    save(draw(series, "Accuracy during training"), path)
    return path


Curves = Mapping[str, tuple[np.ndarray, np.ndarray]]  # split -> outer steps, accuracies


def read_curves(run: Path, splits: Sequence[str]) -> Curves:
    """A run's accuracies on `splits` (HELD_OUT is one, too); none if it has none yet.

    Raises:
      UserError: they cannot be read, or have no curve of a split.
    """
    metrics = read_metrics(run)
    columns = dict.fromkeys(_column(run, metrics, split) for split in splits) if metrics else ()
    return {column: (metrics["step"], metrics[column]) for column in columns}


def plot_runs(runs: Mapping[Path, Curves], out: Path) -> list[str]:
    """Draw the curves of all runs into the file `out`.

    Returns the names of the runs that could not be drawn, because they have no accuracies yet.

    Raises:
      UserError: none of the runs has any.
    """
    if not any(runs.values()):
        raise UserError(f"{next(iter(runs))}: no accuracies yet; training logs them as it goes")
    names = dict(zip(runs, short_names(list(runs)), strict=True))
    drawn = sorted(
        {split for curves in runs.values() for split in curves}, key=list(SPLIT_NAMES).index
    )
    series = []
    for i, run in enumerate(run for run in runs if runs[run]):
        for dash, (split, values) in zip(DASHES, runs[run].items(), strict=False):
            label = _shortened(names[run]) + (f", {split}" if len(drawn) > 1 else "")
            series.append(Series(label, *values, *curve_style(i), dash))
    out.parent.mkdir(parents=True, exist_ok=True)
    save(draw(series, f"Accuracy during training on {' and '.join(drawn)} classes"), out)
    return [names[run] for run in runs if not runs[run]]


def draw(series: Sequence[Series], title: str) -> Figure:
    """A figure of smoothed curves with the single evaluations as dots behind them."""
    longest = max(len(s.name) for s in series)
    height = max(4.2, 1.1 + len(series) * LABEL_HEIGHT)
    figure = new_figure(6.3 + longest * LABEL_WIDTH, height)
    axes = figure.subplots()
    labels = [
        _draw_series(axes, curve, len(series), i / len(series)) for i, curve in enumerate(series)
    ]
    last = max(int(s.steps[-1]) for s in series)
    axes.set(xlabel="outer step", ylabel="accuracy", xlim=(0, max(1, last)))
    axes.set_ylim(max(-0.01, axes.get_ylim()[0]), 1.01)
    bands = ", with their standard error" if len(series) <= MAX_BANDS else ""
    write_title(axes, title, f"dots: evaluations on a few episodes; lines: running means{bands}")
    tidy(axes)
    label_ends(axes, labels)
    return figure


def _draw_series(axes: Axes, series: Series, count: int, phase: float) -> Label:
    """One of `count` curves: the more there are, the fainter are the dots behind them.

    phase: where between two others the markers are, 0 ... 1, so that no two curves' coincide.
    """
    steps, color = series.steps, series.color
    axes.plot(
        steps, series.accuracies, ".", color=color, markersize=4.5, alpha=min(0.35, 2 / count**1.5),
        markeredgewidth=0, zorder=1,
    )  # fmt: skip
    curve = smoothed(series.accuracies, max(1, round(len(steps) * SMOOTHING_SHARE)))
    if count <= MAX_BANDS:
        band = curve.mean - curve.error, np.minimum(curve.mean + curve.error, 1)
        axes.fill_between(steps, *band, color=color, alpha=0.15, linewidth=0, zorder=2)
    every, width = max(1, len(steps) // 8), 1.6 if count <= len(COLORS) else 1.2
    axes.plot(
        steps, curve.mean, series.dash, color=color, zorder=3, linewidth=width,
        marker=series.marker, markersize=5, markevery=(int(every * phase), every),
    )  # fmt: skip
    return Label(series.name, float(steps[-1]), float(curve.mean[-1]), color, series.marker)


def _column(run: Path, metrics: dict[str, np.ndarray], split: str) -> str:
    """The column of metrics that `split` stands for (UserError if the run has none)."""
    logged = [name for name in metrics if name != "step"]
    column = split
    if split == HELD_OUT:
        column = next((name for name in ("val", "test") if name in logged), split)
    if column not in logged:
        raise UserError(f"{run}: training logged {' and '.join(logged)}, not {split} (--split)")
    return column


def _shortened(name: str) -> str:
    """A long name without its middle: its end distinguishes it."""
    if len(name) <= MAX_NAME:
        return name
    return name[: MAX_NAME // 3] + "…" + name[1 + MAX_NAME // 3 - MAX_NAME :]


# ---- gradient alignment: see `runs.gradient_alignment`


def plot_alignment(run: Path, path: Path | None = None) -> Path | None:
    """Draw `run`/alignment.jsonl as `path`, by default `run`/alignment.png.

    None if nothing was logged.

    Raises:
      UserError: the run has no alignment.
    """
    columns = read_alignment(run)
    if not columns:
        return None
    figure = new_figure(10.4, 4.2)
    panels = figure.subplots(1, 2)
    for axes, measure in zip(panels, MEASURES, strict=True):
        _draw_alignment(axes, columns, measure)
    write_title(
        panels[0],
        "Gradients of two mini-batches at the initialization",
        f"dots: means of {TASKS} tasks; lines: running means, ± standard error",
    )
    path = path or run / ALIGNMENT_FIGURE
    save(figure, path)
    return path


def _draw_alignment(axes: Axes, columns: Mapping[str, np.ndarray], measure: str) -> None:
    """One measure for both kinds of pairs."""
    steps, labels = columns["step"], []
    reach = max(1, round(len(steps) * SMOOTHING_SHARE))
    for pair, color in zip(PAIRS, COLORS, strict=False):
        values, errors = columns[f"{pair}_{measure}"], columns[f"{pair}_{measure}_error"]
        curve = pooled(values, errors, reach)
        band = curve.mean - curve.error, curve.mean + curve.error
        axes.plot(steps, values, ".", color=color, markersize=4.5, alpha=0.35, markeredgewidth=0)
        axes.fill_between(steps, *band, color=color, alpha=0.15, linewidth=0)
        axes.plot(steps, curve.mean, color=color, linewidth=1.6)
        labels.append(Label(PAIR_NAMES[pair], float(steps[-1]), float(curve.mean[-1]), color))
    axes.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    axes.set(xlabel="outer step", ylabel=f"mean {MEASURES[measure]}", xlim=(0, max(1, steps[-1])))
    tidy(axes)
    label_ends(axes, labels)
