"""The figure of `reptile reproduce theory`: coefficients, and what the prediction leaves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from supervised_reptile.analysis.plots import (
    COLORS,
    GREY,
    LABEL_SIZE,
    Label,
    label_ends,
    save,
    write_title,
)
from supervised_reptile.paper.taylor import METHODS, RATES, STEPS, Measurement

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN_STEPS = 3  # inner steps of the panel with the remainders
_COLORS = dict(zip(METHODS, ("black", *COLORS), strict=False))


def draw(measured: Sequence[Measurement], path: Path) -> None:
    """Left, c2 against the inner steps; right, remainders against the inner rate."""
    from matplotlib.figure import Figure as Canvas  # slow to import, and not everybody plots

    canvas = Canvas(figsize=(12.4, 4.6), layout="constrained")
    left, right = canvas.subplots(1, 2)
    ends = _coefficients(left, measured), _remainders(right, measured)
    for axes, labels in zip((left, right), ends, strict=True):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        label_ends(axes, labels)
    save(canvas, path)


def _coefficients(axes: Axes, measured: Sequence[Measurement]) -> list[Label]:
    """Circles on the predicted lines."""
    labels = []
    every = np.arange(1, STEPS[-1] + 1)
    for name, method in METHODS.items():
        color = _COLORS[name]
        own = [m for m in measured if m.method == name]
        axes.plot([m.steps for m in own], [m.limits[1] for m in own], "o", color=color,
                  markersize=8, markerfacecolor="none", markeredgewidth=1.6)  # fmt: skip
        if len(own) > 1:
            line = [method.predicted(int(k))[1] for k in every]
            axes.plot(every, line, color=color, linewidth=1.2)
            labels.append(Label(name, float(every[-1]), line[-1], color))
        else:
            axes.annotate(name, (own[0].steps, own[0].limits[1]), (0, 9), color=color,
                          textcoords="offset points", fontsize=LABEL_SIZE)  # fmt: skip
    axes.set(
        xlabel="inner steps",
        ylabel="weight of AvgGradInner / inner rate",
        ylim=(None, 1.3),
        xticks=every,
    )
    write_title(
        axes, "Updates consist of AvgGrad and AvgGradInner", "circles: measured; lines: predicted"
    )
    return labels


def _remainders(axes: Axes, measured: Sequence[Measurement]) -> list[Label]:
    """What is left without any AvgGradInner, and with the predicted one."""
    labels = []
    for m in measured:
        if m.steps != SHOWN_STEPS:
            continue
        color = _COLORS[m.method]
        for what, style, lengths in (
            ("AvgGrad alone", "--", m.distances((m.predicted[0], 0))),
            ("both", "-", m.remainders),
        ):
            axes.plot(RATES, lengths, style, color=color, marker="o", markersize=4)
            labels.append(Label(f"{m.method}, {what}", RATES[0], lengths[0], color))
    axes.set(xscale="log", yscale="log", xlabel="inner rate", ylabel="length / length of AvgGrad")
    for exponent, height, text in ((1, 3e-4, "∝ rate"), (2, 5e-6, "∝ rate²")):
        guide = height * (RATES / RATES[3]) ** exponent
        axes.plot(RATES[2:5], guide[2:5], color=GREY, linewidth=1)
        axes.annotate(text, (RATES[3], guide[3]), (5, -4), color=GREY, fontsize=LABEL_SIZE,
                      textcoords="offset points", va="top")  # fmt: skip
    write_title(
        axes,
        f"What the two leave unexplained, {SHOWN_STEPS} inner steps",
        "solid: measured - predicted; dashed: without AvgGradInner",
    )
    return labels
