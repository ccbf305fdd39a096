"""The objective of all trials against each flag that varied."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from supervised_reptile.analysis.plots import COLORS, LABEL_SIZE
from supervised_reptile.sweep.dimensions import Choices, Dimension
from supervised_reptile.sweep.space import Space
from supervised_reptile.sweep.standing import FINISHED, STOPPED, Standing, shown_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDEST = 3  # panels in a row
MOST_LETTERS = 36  # of the labels of a panel, side by side
# Of every power of ten on a logarithmic axis that spans up to so much; of larger ones some powers.
TICKS = ((20.0, (1.0, 2.0, 5.0)), (200.0, (1.0, 3.0)))
BLUE, ORANGE = COLORS[0], COLORS[1]


def draw(space: Space, ranked: Sequence[Standing]) -> Figure:
    """The figure of the trials, best first: a panel for each flag that varied."""
    from matplotlib.figure import Figure  # slow to import, and not everybody plots

    names = list(space.dimensions)
    columns = len(names) if len(names) <= WIDEST else math.ceil(math.sqrt(len(names)))
    columns = min(WIDEST, columns)
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(0.9 + 3.4 * columns, 0.8 + 3.1 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).flatten()
    for axes, name in zip(panels, names, strict=False):
        _draw_panel(axes, name, space.dimensions[name], ranked)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    for axes in panels[::columns]:
        axes.set_ylabel("validation accuracy in %")
    figure.suptitle("Trials of the sweep", x=0.01, ha="left", fontsize=11)
    kinds = [line for line in panels[0].lines if len(line.get_xdata())]
    figure.legend(
        kinds, [line.get_label() for line in kinds], loc="outside lower left", ncols=len(kinds),
        fontsize=LABEL_SIZE, frameon=False,
    )  # fmt: skip
    return figure


def _draw_panel(axes: Axes, name: str, dimension: Dimension, ranked: Sequence[Standing]) -> None:
    """All trials against one flag: finished ones filled, with their interval, the best a star."""
    shown = [s for s in ranked if s.status in (FINISHED, STOPPED) and s.accuracy is not None]
    finished = [s for s in shown if s.status == FINISHED]
    stopped = [s for s in shown if s.status == STOPPED]
    places = _places(axes, name, dimension, ranked)

    def points(standings: Sequence[Standing]) -> tuple[Sequence[float], Sequence[float]]:
        x = [places(s.trial.point[name]) for s in standings]
        return x, [100 * (s.accuracy or 0) for s in standings]

    axes.plot(
        *points(stopped), "o", color="0.55", markerfacecolor="none", markersize=5,
        label="stopped early", zorder=2,
    )  # fmt: skip
    axes.plot(*points(finished), "o", color=BLUE, markersize=5, label="finished", zorder=3)
    axes.errorbar(
        *points(finished), [100 * (s.half_width or 0) for s in finished], fmt="none", ecolor=BLUE,
        elinewidth=1, alpha=0.6, zorder=3,
    )  # fmt: skip
    axes.plot(*points(finished[:1]), "*", color=ORANGE, markersize=13, label="best", zorder=4)
    axes.set_xlabel(f"--{name}")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _places(axes: Axes, name: str, dimension: Dimension, ranked: Sequence[Standing]):
    """Where values are on the x axis: listed ones side by side, others to scale."""
    if not isinstance(dimension, Choices):
        # The whole range, also where the trials are in a part of it, or a first point outside.
        values = [float(v) for v in (*dimension.ends, *(s.trial.point[name] for s in ranked))]
        if dimension.log:
            _label_powers(axes, min(values), max(values))
        elif dimension.integer:
            axes.locator_params("x", integer=True)
        axes.update_datalim([(min(values), 0), (max(values), 0)], updatey=False)
        return lambda value: value
    values = sorted(dimension.values, key=lambda v: (isinstance(v, str), v))
    labels = [shown_value(value) for value in values]
    axes.set_xticks(range(len(values)), labels)
    if sum(map(len, labels)) + 2 * len(labels) > MOST_LETTERS:
        axes.tick_params("x", labelrotation=90)
    axes.set_xlim(-0.5, len(values) - 0.5)
    return values.index


def _label_powers(axes: Axes, low: float, high: float) -> None:
    """A logarithmic x axis whose labels are plain numbers, also where it spans little."""
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    ticks = next((subs for most, subs in TICKS if high / low <= most), None)
    axes.xaxis.set_major_locator(LogLocator(subs=ticks) if ticks else LogLocator(numticks=6))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(NullFormatter())
