"""What `reptile reproduce theory` writes of the small problem: figure, CSV, table and text."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from supervised_reptile.analysis.study import Figure, Study, Table, write_csv
from supervised_reptile.paper.taylor import (
    ORDER_TOLERANCE,
    RATES,
    SHAPE,
    TASKS,
    TOLERANCE,
    Measurement,
    measure,
    smooth_problem,
)
from supervised_reptile.paper.theory_figure import draw
from supervised_reptile.system import machine
from supervised_reptile.system.atomic_files import writing

FIGURE, DATA = "theory.png", "theory.csv"
HEADER = (
    "method", "inner steps", "inner rate", "AvgGrad", "AvgGrad predicted", "AvgGradInner / rate",
    "AvgGradInner / rate predicted", "remainder / AvgGrad",
)  # fmt: skip


def measured_study(out: Path) -> Study:
    """Measure, and write figure and CSV into `out`."""
    began = time.perf_counter()
    measured = measure(smooth_problem())
    write_csv(out / DATA, HEADER, _lines(measured))
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
