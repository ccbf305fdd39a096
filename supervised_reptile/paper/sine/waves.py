"""Tasks of sine waves: which points and what values, a pure function of (seed, step, task)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from supervised_reptile.data.episodes import (
    Stream,
    Tasks,
    TaskShape,
    cut_tasks,
    random_words,
    words_to_cut,
)


class Waves(NamedTuple):
    """Functions amplitude * sin(x + phase), seen at evenly spaced x; all ranges are uniform."""

    points: int = 50
    x: tuple[float, float] = (-5.0, 5.0)
    amplitude: tuple[float, float] = (0.1, 5.0)
    phase: tuple[float, float] = (0.0, 2 * np.pi)

    @property
    def inputs(self) -> np.ndarray:
        """Float32 [points, 1]: the x that rows of tasks number."""
        return np.linspace(*self.x, self.points, dtype=np.float32)[:, None]


def draw_waves(waves: Waves, shape: TaskShape, stream: Stream, steps: range, tasks: range) -> Tasks:
    """Waves `tasks` of each of `steps`, as `episodes.sample_tasks` draws classes of images.

    A task is of one class, the wave: `shape.shots` of its points are cut into inner batches.
    Labels are the wave's values, float32, and the queries all its points in order.

    Args:
      shape: of way 1, with shots and tail shots that are no more than the points.
    """
    own = 2 + waves.points  # amplitude, phase, and which points
    words = random_words(stream, steps, tasks, own + words_to_cut(shape))
    values = _curves(waves, words[:, :2])
    order = np.argsort(words[:, 2:own], axis=1, kind="stable")[:, : shape.per_class]
    labels = np.take_along_axis(values, order, axis=1)
    rows = order.astype(np.int32)
    cut = cut_tasks(shape, rows[:, None], labels[:, None], words[:, own:])
    everywhere = np.broadcast_to(np.arange(waves.points, dtype=np.int32), values.shape)
    return cut._replace(query_rows=everywhere[..., None], query_labels=values[..., None])


def _curves(waves: Waves, words: np.ndarray) -> np.ndarray:
    """Float32 [tasks, points]: waves of amplitudes and phases by random words, [tasks, 2]."""
    low, high = np.transpose([waves.amplitude, waves.phase])
    drawn = low + (high - low) * ((words >> np.uint64(11)) * 2.0**-53)
    amplitude, phase = drawn[:, :1], drawn[:, 1:]
    x = waves.inputs[:, 0].astype(np.float64)
    return (amplitude * np.sin(x + phase)).astype(np.float32)
