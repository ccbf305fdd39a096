"""The small problem of `reptile reproduce theory`: its figure, CSV, table and text."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from supervised_reptile.analysis.plots import (
    COLORS,
    GREY,
    LABEL_SIZE,
    Label,
    label_ends,
    new_figure,
    save,
    tidy,
    write_title,
)
from supervised_reptile.analysis.study import Figure, Study, write_csv
from supervised_reptile.analysis.tables import Table
from supervised_reptile.paper.taylor import (
    METHODS,
    ORDER_TOLERANCE,
    RATES,
    SHAPE,
    STEPS,
    TASKS,
    TOLERANCE,
    Measurement,
    measure,
    smooth_problem,
)
from supervised_reptile.system import machine
from supervised_reptile.system.atomic_files import writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIGURE = "theory.png"
SHOWN_STEPS = 3  # inner steps of the panel with the remainders
_COLORS = dict(zip(METHODS, ("black", *COLORS), strict=False))
HEADER = (
    "method", "inner steps", "inner rate", "AvgGrad", "AvgGrad predicted", "AvgGradInner / rate",
    "AvgGradInner / rate predicted", "remainder / AvgGrad",
)  # fmt: skip


def measured_study(out: Path) -> Study:
    """Measure, and write figure and CSV into `out`."""
    began = time.perf_counter()
    measured = measure(smooth_problem())
    write_csv(out / "theory.csv", HEADER, _lines(measured))
    with writing(out):
        draw(measured, out / FIGURE)
    return Study(
        name="theory",
        title="What the updates consist of",
        text=_text(measured),
        commands=("reptile reproduce theory --out DIR",),
        seconds=time.perf_counter() - began,
        environment=machine.describe(),
        tables=(table(measured),),
        figures=(Figure("Weight of AvgGradInner, and what the prediction leaves", FIGURE),),
    )


def table(measured: Sequence[Measurement]) -> Table:
    """Coefficients as the rate goes to 0 beside the predicted ones, with verdicts."""
    columns = (
        "method", "inner steps", "AvgGrad", "predicted", "AvgGradInner / rate", "predicted",
        "order of the remainder", "verdict",
    )  # fmt: skip
    note = (
        "Weights in the limit of inner rates to 0. The remainder is what the predicted "
        "combination leaves of the expected gradient; predicted is order 2 (3 in the update, which "
        f"is the rate times that). A row passes if both weights are within {TOLERANCE:g} of the "
        f"prediction (relative, where it is above 1), the order within {ORDER_TOLERANCE:g} of 2; "
        "-: no remainder but rounding."
    )
    return Table("Weights in the expected gradient", columns, tuple(map(_row, measured)), note)


def _row(m: Measurement) -> tuple[str, ...]:
    c1, c2 = m.limits
    return (
        m.method,
        str(m.steps),
        _weight(c1),
        f"{m.predicted[0]:g}",
        _weight(c2),
        f"{m.predicted[1]:g}",
        "-" if m.order is None else f"{m.order:.3f}",
        "pass" if m.agrees else "fail",
    )


def _weight(value: float) -> str:
    return f"{round(value, 7) + 0.0:.7f}"  # never -0.0000000


def _lines(measured: Sequence[Measurement]) -> Iterator[tuple[object, ...]]:
    """A line for each method, number of inner steps and rate, as in HEADER."""
    for m in measured:
        for rate, (c1, c2), rest in zip(RATES, m.coefficients, m.remainders, strict=True):
            yield m.method, m.steps, rate, c1, m.predicted[0], c2, m.predicted[1], rest


def _text(measured: Sequence[Measurement]) -> str:
    error = max(np.abs(m.limits - m.predicted).max() for m in measured)
    passed = sum(m.agrees for m in measured)
    return (
        "Section 5.1 of the paper: in expectation over tasks and the order of mini-batches, the "
        "gradient followed is a combination of AvgGrad = E[g1] and AvgGradInner = E[H2 g1] up to "
        "terms of second order in the inner rate. Measured with the program's own inner and outer "
        f"steps in float64 on {TASKS} tasks of {SHAPE.steps} mini-batches that share no example, "
        f"{SHAPE.way} classes of points in the plane and a tanh network; the expectation is the "
        "mean over all tasks and all ordered choices of mini-batches. The gradient followed "
        f"is minus the update divided by the rate, for rates from {RATES[0]:.2g} down to "
        f"{RATES[-1]:.2g}; its least squares weights are extrapolated to rate 0. "
        f"{passed} of {len(measured)} rows pass; no weight is off by more than {error:.0e}."
    )


# ---- the figure


def draw(measured: Sequence[Measurement], path: Path) -> None:
    """Left, c2 against the inner steps; right, remainders against the inner rate."""
    figure = new_figure(12.4, 4.6)
    left, right = figure.subplots(1, 2)
    ends = _draw_coefficients(left, measured), _draw_remainders(right, measured)
    for axes, labels in zip((left, right), ends, strict=True):
        tidy(axes)
        label_ends(axes, labels)
    save(figure, path)


def _draw_coefficients(axes: Axes, measured: Sequence[Measurement]) -> list[Label]:
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


def _draw_remainders(axes: Axes, measured: Sequence[Measurement]) -> list[Label]:
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
