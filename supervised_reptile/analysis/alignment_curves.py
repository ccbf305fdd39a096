"""Gradient alignment during training, as a figure: see `gradient_alignment`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from supervised_reptile.analysis.plots import (
    COLORS,
    SMOOTHING_SHARE,
    Label,
    head,
    label_ends,
    pooled,
    save,
)
from supervised_reptile.runs.gradient_alignment import MEASURES, PAIRS, TASKS
from supervised_reptile.runs.read_run import read_alignment

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIGURE = "alignment.png"
NAMES = {"same": "same task", "different": "different tasks"}


def plot_alignment(run: Path, path: Path | None = None) -> Path | None:
    """Draw `run`/alignment.jsonl as `path`, by default `run`/alignment.png.

    None if nothing was logged.

    Raises:
      UserError: the run has no alignment.
    """
    columns = read_alignment(run)
    if not columns:
        return None
    from matplotlib.figure import Figure  # slow to import, and not everybody plots

    figure = Figure(figsize=(10.4, 4.2), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, measure in zip(panels, MEASURES, strict=True):
        _draw(axes, columns, measure)
    head(
        panels[0],
        "Gradients of two mini-batches at the initialization",
        f"dots: means of {TASKS} tasks; lines: running means, ± standard error",
    )
    path = path or run / FIGURE
    save(figure, path)
    return path


def _draw(axes: Axes, columns: Mapping[str, np.ndarray], measure: str) -> None:
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
        labels.append(Label(NAMES[pair], float(steps[-1]), float(curve.mean[-1]), color))
    axes.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    axes.set(xlabel="outer step", ylabel=f"mean {MEASURES[measure]}", xlim=(0, max(1, steps[-1])))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    label_ends(axes, labels)
