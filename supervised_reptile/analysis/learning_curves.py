"""Learning curves: accuracies during training, of one or more runs in one figure."""

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
    head,
    label_ends,
    look_of,
    save,
    smoothed,
)
from supervised_reptile.errors import UserError
from supervised_reptile.runs.read_run import read_metrics, short_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HELD_OUT = "held-out"  # the validation classes where a run has them, else the test classes
SPLITS = ("train", "val", "test")
DASHES = ("-", "--", ":")  # of the splits, where colours are for runs
MOST_BANDS = 3  # curves in a figure that are drawn with their error
LONGEST_NAME = 48  # characters


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
        Series(f"{split} classes", metrics["step"], metrics[split], *look_of(i))
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
    drawn = sorted({split for curves in runs.values() for split in curves}, key=SPLITS.index)
    series = []
    for i, run in enumerate(run for run in runs if runs[run]):
        for dash, (split, values) in zip(DASHES, runs[run].items(), strict=False):
            label = _shortened(names[run]) + (f", {split}" if len(drawn) > 1 else "")
            series.append(Series(label, *values, *look_of(i), dash))
    out.parent.mkdir(parents=True, exist_ok=True)
    save(draw(series, f"Accuracy during training on {' and '.join(drawn)} classes"), out)
    return [names[run] for run in runs if not runs[run]]


def draw(series: Sequence[Series], title: str) -> Figure:
    """A figure of smoothed curves with the single evaluations as dots behind them."""
    from matplotlib.figure import Figure  # slow to import, and not everybody plots

    longest = max(len(s.name) for s in series)
    size = (6.3 + longest * LABEL_WIDTH, max(4.2, 1.1 + len(series) * LABEL_HEIGHT))
    figure = Figure(figsize=size)
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)  # inches
    axes = figure.subplots()
    labels = [
        _draw_series(axes, curve, len(series), i / len(series)) for i, curve in enumerate(series)
    ]
    last = max(int(s.steps[-1]) for s in series)
    axes.set(xlabel="outer step", ylabel="accuracy", xlim=(0, max(1, last)))
    axes.set_ylim(max(-0.01, axes.get_ylim()[0]), 1.01)
    bands = ", with their standard error" if len(series) <= MOST_BANDS else ""
    head(axes, title, f"dots: evaluations on a few episodes; lines: running means{bands}")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
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
    if count <= MOST_BANDS:
        band = curve.mean - curve.error, np.minimum(curve.mean + curve.error, 1)
        axes.fill_between(steps, *band, color=color, alpha=0.15, linewidth=0, zorder=2)
    every, width = max(1, len(steps) // 8), 1.6 if count <= len(COLORS) else 1.2
    axes.plot(
        steps, curve.mean, series.dash, color=color, zorder=3, linewidth=width,
        marker=series.marker, markersize=5, markevery=(int(every * phase), every),
    )  # fmt: skip
    return Label(series.name, float(steps[-1]), float(curve.mean[-1]), color, series.marker)


def _column(run: Path, metrics: dict[str, np.ndarray], split: str) -> str:
    """Which of the columns of metrics is meant by `split`; UserError if the run has no such."""
    watched = [name for name in metrics if name != "step"]
    column = split
    if split == HELD_OUT:
        column = next((name for name in ("val", "test") if name in watched), split)
    if column not in watched:
        raise UserError(f"{run}: training logged {' and '.join(watched)}, not {split}")
    return column


def _shortened(name: str) -> str:
    """A name with its middle left out where it is long: its end tells it from others."""
    if len(name) <= LONGEST_NAME:
        return name
    return name[: LONGEST_NAME // 3] + "…" + name[1 + LONGEST_NAME // 3 - LONGEST_NAME :]
