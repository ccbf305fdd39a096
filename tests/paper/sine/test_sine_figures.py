"""The figures of waves, of predictions that are made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from supervised_reptile.paper.sine import figures

X = np.linspace(-5, 5, 50, dtype=np.float32)


def wave(amplitude: float) -> figures.PlottedWave:
    """A wave with three points and predictions after no step and after one."""
    truth = amplitude * np.sin(X)
    return figures.PlottedWave(X, truth, np.array([3, 20, 40], np.int32), np.array([0, 1]))


def pictures(path: Path) -> list[bytes]:
    """The pixels of every frame."""
    with Image.open(path) as movie:
        frames = []
        for frame in range(movie.n_frames):
            movie.seek(frame)
            frames.append(movie.convert("RGB").tobytes())
    return frames


@pytest.mark.parametrize(("evaluations", "shown"), [(9, 4), (4, 4), (3, 3)])
def test_an_animation_has_no_more_frames_than_there_is_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evaluations: int, shown: int
) -> None:
    monkeypatch.setattr(figures, "MAX_FRAMES", 4)
    steps = [100 * i for i in range(evaluations)]
    fits = np.stack([np.full((2, 50), i / evaluations) for i in range(evaluations)])
    figures.draw_animation(wave(3.0), steps, fits, tmp_path / "training.gif")
    assert len(set(pictures(tmp_path / "training.gif"))) == shown


@pytest.mark.parametrize(("amplitude", "height"), [(0.5, 4.0), (20.0, 20.0)])
def test_the_whole_wave_is_in_the_figure(amplitude: float, height: float) -> None:
    axes = Figure().subplots()
    figures._draw_fit(axes, wave(amplitude), np.zeros((2, 50)))
    assert axes.get_ylim() == pytest.approx((-height, height), rel=0.01)
