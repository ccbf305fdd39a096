"""Shared by all figures: colours, smoothing, labels next to the curves, and writing the file.

Colour-blind readers can distinguish the colours; curves are labelled with their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from supervised_reptile.errors import one_line
from supervised_reptile.system.atomic_files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito
GREY = "0.35"  # of subtitles
MARKERS = ("", "o", "s", "^", "D", "v", "P", "X")  # for the curves that share a colour
SMOOTHING_SHARE = 0.05  # of a curve's points on each side that a smoothed point averages over
LABEL_SIZE = 9  # points
LABEL_HEIGHT = 0.18  # inches from one label to the next, so that they do not touch
LABEL_WIDTH = 0.085  # inches of a character, generously


class Curve(NamedTuple):
    """A smoothed curve with its uncertainty, float64 [points] each."""

    mean: np.ndarray
    error: np.ndarray  # standard error of the mean


class Label(NamedTuple):
    """A name at the end of its curve."""

    text: str
    x: float  # the curve's last point, in the data's units
    y: float
    color: str  # the curve's
    marker: str = ""  # the curve's


def smoothed(values: np.ndarray, reach: int) -> Curve:
    """Means of each point and `reach` neighbours on either side, fewer towards the ends."""
    mean, count = _running_mean(values, reach)
    square, _ = _running_mean(np.square(values), reach)
    variance = np.maximum(square - np.square(mean), 0)
    return Curve(mean, np.sqrt(variance / count))


def pooled(values: np.ndarray, errors: np.ndarray, reach: int) -> Curve:
    """The means of `smoothed`, of independent values whose standard errors are known."""
    mean, count = _running_mean(values, reach)
    variance, _ = _running_mean(np.square(errors), reach)
    return Curve(mean, np.sqrt(variance / count))


def _running_mean(values: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean of each point and its neighbours, and how many those are."""
    first = np.maximum(np.arange(len(values)) - reach, 0)
    last = np.minimum(np.arange(len(values)) + reach + 1, len(values))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return (sums[last] - sums[first]) / (last - first), last - first


def curve_style(index: int) -> tuple[str, str]:
    """Colour and marker of curve `index`: colours first, then the same with markers."""
    return COLORS[index % len(COLORS)], MARKERS[index // len(COLORS) % len(MARKERS)]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, that needs no display."""
    from matplotlib.figure import Figure  # slow to import

    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)  # inches
    return figure


def tidy(axes: Axes) -> None:
    """A faint grid, and no frame above and to the right."""
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def write_title(axes: Axes, title: str, subtitle: str) -> None:
    """Write a title over the axes, at their left end, and under it how to read them."""
    axes.set_title(title, loc="left", fontsize=11, pad=19)
    axes.annotate(
        subtitle, xy=(0, 1), xytext=(0, 7), xycoords="axes fraction", textcoords="offset points",
        fontsize=LABEL_SIZE, color=GREY,
    )  # fmt: skip


def label_ends(axes: Axes, labels: Sequence[Label]) -> None:
    """Write the labels to the right of the axes, each at the height of its curve's end.

    Labels that would touch move apart; a dotted line leads from the curve to each. The axes'
    limits must be final.
    """
    from matplotlib.transforms import offset_copy

    figure = cast("Figure", axes.figure)  # not a part of one
    if layout := figure.get_layout_engine():
        layout.execute(figure)  # how high the axes will be
    axes_height = axes.get_position().height * figure.get_figheight()  # inches
    ends = axes.transData.transform([(label.x, label.y) for label in labels])
    wanted = axes.transAxes.inverted().transform(ends)[:, 1]  # whatever the axis' scale
    heights = spread_out(np.clip(wanted, 0, 1), LABEL_HEIGHT / axes_height)
    end, beside, further = (
        offset_copy(axes.transAxes, figure, x, units="points") for x in (20, 25, 31)
    )
    for label, y in zip(labels, heights, strict=True):
        leader = {
            "arrowstyle": "-", "linestyle": ":", "linewidth": 0.9, "color": label.color,
            "shrinkA": 0, "shrinkB": 2,
        }  # fmt: skip
        axes.annotate("", xy=(label.x, label.y), xytext=(1, y), textcoords=end, arrowprops=leader)
        axes.plot(
            1, y, label.marker, color=label.color, markersize=4, transform=beside, clip_on=False
        )
        axes.text(
            1, y, one_line(label.text), color=darker(label.color), fontsize=LABEL_SIZE,
            verticalalignment="center", parse_math=False, transform=further,
        )  # fmt: skip


def spread_out(wanted: np.ndarray, gap: float) -> np.ndarray:
    """Positions in 0 ... 1 near `wanted`, float [n], in its order and at least `gap` apart.

    The sum of squared distances is minimal, except that positions outside 0 ... 1 are pushed back.
    Too many for the room share it evenly.
    """
    count = len(wanted)
    gap = min(gap, 1 / max(1, count - 1))
    order = np.argsort(wanted, kind="stable")
    # Without the gaps it is the closest ascending sequence: neighbours out of order merge.
    groups: list[list[float]] = []
    for value in wanted[order] - gap * np.arange(count):
        groups.append([value])
        while len(groups) > 1 and np.mean(groups[-2]) >= np.mean(groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    ascending = np.concatenate([np.full(len(g), np.mean(g)) for g in groups] or [wanted])
    positions = np.empty(count)
    positions[order] = np.clip(ascending, 0, 1 - gap * (count - 1)) + gap * np.arange(count)
    return positions


def darker(color: str) -> str:
    """A colour for text: the same hue, dark enough to be read on white."""
    return "#" + "".join(f"{int(int(color[i : i + 2], 16) * 0.62):02x}" for i in (1, 3, 5))


def save(figure: Figure, path: Path) -> None:
    """Write the figure atomically, in the format that the file's name ends in."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
