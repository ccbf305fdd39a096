"""Names written at the ends of curves, so that nobody has to look from a legend to the plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FONT_SIZE = 8


def label_ends(axes: Axes) -> None:
    """Write each labelled line's label to the right of its last point, none over another.

    To be called when the axes have their final limits and size.
    """
    lines = [line for line in axes.get_lines() if not line.get_label().startswith("_")]
    figure = axes.figure
    figure.draw_without_rendering()  # lays the figure out, so that points on paper are known
    last = [(line.get_xdata()[-1], line.get_ydata()[-1]) for line in lines]
    ends = axes.transData.transform(last)  # [lines, 2] in dots
    height = 1.25 * FONT_SIZE * figure.dpi / 72
    places = spread(ends[:, 1], height)
    right = ends[:, 0].max() + figure.dpi * 0.12
    for line, point, end, place in zip(lines, last, ends, places, strict=True):
        offset = (np.array([right, place]) - end) * 72 / figure.dpi
        axes.annotate(
            line.get_label(),
            point,
            xytext=tuple(offset),
            textcoords="offset points",
            color=line.get_color(),
            fontsize=FONT_SIZE,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": line.get_color(), "lw": 0.5, "shrinkB": 0},
        )


def spread(positions: Sequence[float], gap: float) -> np.ndarray:
    """Places at least `gap` apart, in the order of `positions` and together near them.

    The least squares solution: neighbours that are too close share their mean (pool adjacent
    violators), float64 [positions].
    """
    order = np.argsort(positions, kind="stable")
    # Without the gaps, places must only not decrease.
    wanted = np.asarray(positions, np.float64)[order] - gap * np.arange(len(order))
    groups: list[list[float]] = []  # [sum, count]
    for value in wanted:
        groups.append([value, 1])
        while len(groups) > 1 and groups[-2][0] / groups[-2][1] > groups[-1][0] / groups[-1][1]:
            total, count = groups.pop()
            groups[-1][0] += total
            groups[-1][1] += count
    level = np.concatenate([np.full(int(count), total / count) for total, count in groups])
    places = np.empty(len(order))
    places[order] = level + gap * np.arange(len(order))
    return places
