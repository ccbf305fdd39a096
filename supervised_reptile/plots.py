"""Figures. Colours are told apart by colour-blind readers; curves carry their names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito
SMOOTHING_SHARE = 0.04  # of a curve's points that a smoothed point averages over


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
    splits = [name for name in metrics[0] if name != "step"]
    width = max(1, round(len(steps) * SMOOTHING_SHARE))
    for split, color in zip(splits, COLORS, strict=False):
        values = np.array([m[split] for m in metrics])
        axes.plot(*smoothed(steps, values, width), color=color, label=f"{split} classes")
    axes.set(xlabel="outer step", ylabel="accuracy", ylim=(0, 1.02), xlim=(0, None))
    axes.set_title(f"Accuracy on single episodes, mean of {width} consecutive looks", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", frameon=False)
    path = run / "learning_curve.png"
    figure.savefig(path, dpi=150)
    return path


def smoothed(steps: np.ndarray, values: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Means over `width` consecutive points, and the middle of their steps."""
    kernel = np.full(width, 1 / width)
    return np.convolve(steps, kernel, "valid"), np.convolve(values, kernel, "valid")
