"""The learning curve."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from supervised_reptile.plots import COLORS, plot_learning_curve, smoothed


def write_metrics(run: Path, looks: int, held_out: str = "test") -> Path:
    """Metrics of a run whose training accuracy climbs to 1 and whose other one stays at 0.2."""
    lines = [
        json.dumps({"step": 10 * look, "train": look / (looks - 1 or 1), held_out: 0.2})
        for look in range(looks)
    ]
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n" * bool(lines))
    return run


def pixels_like(path: Path, color: str) -> np.ndarray:
    """Rows and columns of the pixels in nearly the colour, int [2, pixels]."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        found = np.asarray(image.convert("RGB")).astype(int)
    wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return np.array(np.nonzero(np.abs(found - wanted).max(axis=2) < 8))


def test_both_curves_are_drawn_where_they_belong(tmp_path: Path) -> None:
    path = plot_learning_curve(write_metrics(tmp_path, 200))
    assert path == tmp_path / "learning_curve.png"
    train, test = (pixels_like(path, color) for color in COLORS[:2])
    assert train.shape[1] > 300
    assert test.shape[1] > 300
    rising = np.corrcoef(train)[0, 1]
    assert rising < -0.7  # rows count downwards; the legend has a sample of each, too
    level = np.median(test[0])
    assert (np.abs(test[0] - level) <= 3).mean() > 0.8  # all but the legend's sample
    assert train[0].min() < level < train[0].max()


@pytest.mark.parametrize("looks", [1, 2, 3])
def test_a_few_looks_are_enough(tmp_path: Path, looks: int) -> None:
    path = plot_learning_curve(write_metrics(tmp_path, looks, "val"))
    with Image.open(path) as image:
        image.load()


def test_no_looks_no_figure(tmp_path: Path) -> None:
    assert plot_learning_curve(write_metrics(tmp_path, 0)) is None
    assert not (tmp_path / "learning_curve.png").exists()


def test_a_figure_is_replaced(tmp_path: Path) -> None:
    before = plot_learning_curve(write_metrics(tmp_path, 5)).read_bytes()
    after = plot_learning_curve(write_metrics(tmp_path, 50)).read_bytes()
    assert before != after
    assert after.startswith(b"\x89PNG")


@pytest.mark.parametrize("reach", [1, 2, 5, 40])
def test_smoothing_is_the_mean_of_neighbours_and_its_error(reach: int) -> None:
    values = np.random.default_rng(0).random(31)
    curve = smoothed(values, reach)
    for i in range(len(values)):
        near = values[max(0, i - reach) : i + reach + 1]
        assert curve.mean[i] == pytest.approx(near.mean())
        assert curve.error[i] == pytest.approx(near.std() / np.sqrt(len(near)), abs=1e-7)
