"""Figures. Colours are told apart by colour-blind readers; curves carry their names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito
SMOOTHING_SHARE = 0.05  # of a curve's points on each side that a smoothed point averages over


class Curve(NamedTuple):
    """A smoothed curve with its uncertainty, float64 [points] each."""

    mean: np.ndarray
    error: np.ndarray  # standard error of the mean


def plot_learning_curve(run: Path) -> Path | None:
    """Draw the accuracies in `run`/metrics.jsonl as learning_curve.png; None if there are none."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf8").splitlines()
    metrics = [json.loads(line) for line in lines]
    if not metrics:
        return None
    from matplotlib.figure import Figure  # slow to import, and not everybody plots

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    steps = np.array([m["step"] for m in metrics])
    reach = max(1, round(len(steps) * SMOOTHING_SHARE))
    splits = [name for name in metrics[0] if name != "step"]
    for split, color in zip(splits, COLORS, strict=False):
        curve = smoothed(np.array([m[split] for m in metrics]), reach)
        _draw_curve(axes, steps, curve, f"{split} classes", color)
    axes.set(xlabel="outer step", ylabel="accuracy", xlim=(0, max(1, steps[-1])))
    axes.set_ylim(top=1.005)
    axes.set_title(
        f"Accuracy on a few episodes: running mean of {2 * reach + 1} looks, ± standard error",
        fontsize=10,
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", frameon=False)
    path = run / "learning_curve.png"
    figure.savefig(path, dpi=150)
    return path


def smoothed(values: np.ndarray, reach: int) -> Curve:
    """Means of each point and `reach` neighbours on either side, fewer towards the ends."""
    first = np.maximum(np.arange(len(values)) - reach, 0)
    last = np.minimum(np.arange(len(values)) + reach + 1, len(values))
    count = last - first

    def mean_of(numbers: np.ndarray) -> np.ndarray:
        sums = np.concatenate([[0.0], np.cumsum(numbers)])
        return (sums[last] - sums[first]) / count

    mean = mean_of(values)
    variance = np.maximum(mean_of(np.square(values)) - np.square(mean), 0)
    return Curve(mean, np.sqrt(variance / count))


def _draw_curve(axes: Axes, steps: np.ndarray, curve: Curve, label: str, color: str) -> None:
    band = curve.mean - curve.error, np.minimum(curve.mean + curve.error, 1)
    axes.fill_between(steps, *band, color=color, alpha=0.2, linewidth=0)
    axes.plot(steps, curve.mean, color=color, label=label)
