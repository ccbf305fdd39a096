"""Figures of waves: fits before and after meta-training, an animation, losses of all algorithms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from supervised_reptile.analysis.plots import (
    COLORS,
    LABEL_SIZE,
    Label,
    label_ends,
    new_figure,
    save,
    tidy,
    write_title,
)
from supervised_reptile.analysis.statistics import mean_of
from supervised_reptile.errors import counted
from supervised_reptile.system.atomic_files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D
    from PIL.Image import Image

FIT, LOSSES, ANIMATION = "fit.png", "gradient_steps.png", "training.gif"
HEIGHT = 4.0  # of the axes' upper and lower end; more for a wave that is higher
FRAME_DPI, FRAME_MS, LAST_FRAME_MS = 72, 110, 2500
MAX_FRAMES = 200  # half a megabyte each as they are drawn, all in memory
FRAME_COLORS, NEARLY_WHITE = 64, 245


class PlottedWave(NamedTuple):
    """The wave in the figures."""

    x: np.ndarray  # float32 [points]
    truth: np.ndarray  # float32 [points]
    rows: np.ndarray  # int32 [shots]: the points that the network is fitted to
    steps: np.ndarray  # int [shown]: inner steps after which predictions are drawn


def draw_fits(wave: PlottedWave, panels: Mapping[str, np.ndarray], path: Path) -> None:
    """Panels side by side: title -> predictions after the steps shown, float [shown, points]."""
    figure = new_figure(11, 4.4)
    all_axes = figure.subplots(1, len(panels), sharey=True)
    for axes, (title, predictions) in zip(all_axes, panels.items(), strict=True):
        _draw_fit(axes, wave, predictions)
        axes.label_outer()
        axes.set_title(title, loc="left", fontsize=11)
    figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside right center",
                  frameon=False, fontsize=LABEL_SIZE)  # fmt: skip
    save(figure, path)


def _draw_fit(axes: Axes, wave: PlottedWave, predictions: np.ndarray) -> list[Line2D]:
    """One fit; returns the lines of the predictions."""
    axes.plot(wave.x, wave.truth, "--", color="black", linewidth=1.2, label="truth", zorder=2)
    axes.plot(wave.x[wave.rows], wave.truth[wave.rows], "o", color="black", markersize=5,
              label=f"the {counted(len(wave.rows), 'point')}", zorder=5)  # fmt: skip
    lines = []
    for color, steps, values in zip(_grades(len(wave.steps)), wave.steps, predictions, strict=True):
        lines += axes.plot(
            wave.x, values, color=color, linewidth=1.8, label=f"after {counted(steps, 'step')}"
        )
    height = max(HEIGHT, float(np.abs(wave.truth).max()))
    axes.set(xlabel="x", ylabel="y", ylim=(-height, height), xlim=(wave.x[0], wave.x[-1]))
    tidy(axes)
    return lines


def _grades(count: int) -> list[tuple[float, float, float, float]]:
    """Colours from light to dark that colour-blind readers can distinguish."""
    from matplotlib import colormaps

    return [colormaps["viridis"](shade) for shade in np.linspace(0.82, 0.0, count)]


# ---- the fit as meta-training proceeds


def draw_animation(
    wave: PlottedWave, outer_steps: Sequence[int], fits: np.ndarray, path: Path
) -> None:
    """A GIF of fits, float [evaluations, shown, points], each after one of `outer_steps`.

    At most MAX_FRAMES are shown, evenly chosen, with the first and the last.
    """
    count = min(len(fits), MAX_FRAMES)
    chosen = np.linspace(0, len(fits) - 1, count).round().astype(int)
    _write_gif(list(_frames(wave, [outer_steps[i] for i in chosen], fits[chosen])), path)


def _write_gif(frames: Sequence[Image], path: Path) -> None:
    """All frames in the colours of the last one."""
    from PIL.Image import Dither, Quantize

    # An octree keeps the colours of thin lines; a median cut averages them.
    palette = _with_white(frames[-1].quantize(FRAME_COLORS, method=Quantize.FASTOCTREE))
    first, *rest = (frame.quantize(palette=palette, dither=Dither.NONE) for frame in frames)
    times = [FRAME_MS] * len(rest) + [LAST_FRAME_MS]
    with replacing(path) as temporary:
        first.save(temporary, "GIF", save_all=True, append_images=rest, duration=times, loop=0)


def _with_white(picture: Image) -> Image:
    """Make nearly white colours of the palette white."""
    palette = np.array(picture.getpalette()).reshape(-1, 3)
    palette[palette.min(axis=1) > NEARLY_WHITE] = 255
    picture.putpalette(palette.ravel().tolist())
    return picture


def _frames(wave: PlottedWave, outer_steps: Sequence[int], fits: np.ndarray) -> Iterator[Image]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    figure = new_figure(8, 4.4)
    figure.set_dpi(FRAME_DPI)
    canvas, axes = FigureCanvasAgg(figure), figure.subplots()
    lines = _draw_fit(axes, wave, fits[0])
    title = axes.set_title(" ", loc="left", fontsize=11)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", frameon=False,
                  fontsize=LABEL_SIZE)  # fmt: skip
    for step, fit in zip(outer_steps, fits, strict=True):
        title.set_text(f"after {counted(step, 'outer step')}")
        for line, values in zip(lines, fit, strict=True):
            line.set_ydata(values)
        canvas.draw()
        figure.set_layout_engine("none")  # the layout of the first frame stays
        yield Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


# ---- the algorithms side by side


def draw_losses(losses: Mapping[str, np.ndarray], points: int, path: Path) -> None:
    """Losses against inner steps on some points: name -> float [waves, inner steps + 1]."""
    figure = new_figure(8.2, 4.8)
    axes = figure.subplots()
    labels = []
    for color, (name, values) in zip((*COLORS[:4], "#4d4d4d"), losses.items(), strict=False):
        mean, half_width = np.transpose([_interval(column) for column in values.T])
        steps = np.arange(len(mean))
        axes.fill_between(steps, mean - half_width, mean + half_width, color=color, alpha=0.15,
                          linewidth=0)  # fmt: skip
        axes.plot(steps, mean, color=color, linewidth=1.6)
        labels.append(Label(name, float(steps[-1]), float(mean[-1]), color))
    axes.set(xlabel=f"gradient steps on {counted(points, 'point')}", ylabel="mean squared error",
             yscale="log", xlim=(0, steps[-1]))  # fmt: skip
    for formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "125" else "")
    write_title(
        axes,
        "Learning a new wave from each initialization",
        f"means over the same {counted(len(values), 'wave')}, with their 95% intervals",
    )
    tidy(axes)
    label_ends(axes, labels)
    save(figure, path)


def _interval(values: np.ndarray) -> tuple[float, float]:
    mean, half_width = mean_of(values)
    return mean, half_width or 0.0
