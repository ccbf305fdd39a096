"""The objective of all trials against each flag that varied."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from supervised_reptile.plots import COLORS, LABEL_SIZE, save
from supervised_reptile.sweep.dimensions import Choices, Dimension
from supervised_reptile.sweep.space import Space
from supervised_reptile.sweep.standing import FINISHED, STOPPED, Standing, shown_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDEST = 3  # panels in a row
TICKS = (1.0, 2.0, 5.0)  # of every power of ten on a logarithmic axis
BLUE, ORANGE = COLORS[0], COLORS[1]


def draw(space: Space, ranked: Sequence[Standing], path: Path) -> None:
    """Write the figure of the trials, best first, to `path`: a panel for each flag that varied."""
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
    labels = [line.get_label() for line in panels[0].lines]
    figure.legend(
        panels[0].lines, labels, loc="outside upper right", ncols=3, fontsize=LABEL_SIZE,
        frameon=False,
    )  # fmt: skip
    save(figure, path)


def _draw_panel(axes: Axes, name: str, dimension: Dimension, ranked: Sequence[Standing]) -> None:
    """All trials against one flag: finished ones filled, with their interval, the best a star."""
    shown = [s for s in ranked if s.status in (FINISHED, STOPPED) and s.accuracy is not None]
    finished = [s for s in shown if s.status == FINISHED]
    stopped = [s for s in shown if s.status == STOPPED]
    places = _places(axes, name, dimension)

    def points(standings: Sequence[Standing]) -> tuple[Sequence[float], Sequence[float]]:
        x = [places(s.trial.point[name]) for s in standings]
        return x, [100 * (s.accuracy or 0) for s in standings]

    axes.plot(
        *points(stopped), "o", color="0.55", markerfacecolor="none", markersize=5,
        label="stopped early (recent looks)", zorder=2,
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


def _places(axes: Axes, name: str, dimension: Dimension):
    """Where values stand on the x axis: listed ones side by side, others to scale."""
    if not isinstance(dimension, Choices):
        if dimension.log:
            _label_powers(axes)
        elif dimension.integer:
            axes.locator_params("x", integer=True)
        return lambda value: value
    values = sorted(dimension.values, key=lambda v: (isinstance(v, str), v))
    axes.set_xticks(range(len(values)), [shown_value(value) for value in values])
    axes.set_xlim(-0.5, len(values) - 0.5)
    return values.index


def _label_powers(axes: Axes) -> None:
    """A logarithmic x axis whose labels are plain numbers, also where it spans little."""
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=TICKS))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(NullFormatter())
