"""What figures share: smoothing, colours, and labels that keep apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervised_reptile.analysis.plots import (
    COLORS,
    MARKERS,
    curve_style,
    darker,
    smoothed,
    spread_out,
)


@pytest.mark.parametrize("reach", [1, 2, 5, 40])
def test_smoothing_is_the_mean_of_neighbours_and_its_error(reach: int) -> None:
    values = np.random.default_rng(0).random(31)
    curve = smoothed(values, reach)
    for i in range(len(values)):
        near = values[max(0, i - reach) : i + reach + 1]
        assert curve.mean[i] == pytest.approx(near.mean())
        assert curve.error[i] == pytest.approx(near.std() / np.sqrt(len(near)), abs=1e-7)


def test_curves_differ_by_colour_then_by_marker() -> None:
    styles = [curve_style(i) for i in range(len(COLORS) * len(MARKERS))]
    assert len(set(styles)) == len(styles)
    assert {marker for _, marker in styles[: len(COLORS)]} == {""}
    assert curve_style(len(styles)) == styles[0]


@pytest.mark.parametrize("color", COLORS)
def test_text_can_be_read_on_white(color: str) -> None:
    """A contrast of 4.5 to 1, the least that WCAG asks for."""
    channels = [int(darker(color)[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = np.dot(linear, [0.2126, 0.7152, 0.0722])
    assert 1.05 / (luminance + 0.05) > 4.5


def test_labels_with_room_stay_where_they_are_wanted() -> None:
    wanted = np.array([0.9, 0.1, 0.5])
    np.testing.assert_allclose(spread_out(wanted, 0.1), wanted)
    assert spread_out(np.array([]), 0.1).tolist() == []
    assert spread_out(np.array([1.0]), 0.1).tolist() == [1.0]


def test_labels_that_would_touch_move_apart_evenly() -> None:
    np.testing.assert_allclose(spread_out(np.array([0.5, 0.5]), 0.1), [0.45, 0.55])
    np.testing.assert_allclose(spread_out(np.array([1.0, 1.0, 0.2]), 0.1), [0.9, 1.0, 0.2])
    np.testing.assert_allclose(spread_out(np.array([0.0, 0.05]), 0.1), [0.0, 0.1])
    np.testing.assert_allclose(spread_out(np.full(5, 0.3), 0.5), [0, 0.25, 0.5, 0.75, 1])


@given(st.lists(st.floats(0, 1), max_size=20), st.floats(0.001, 0.5))
def test_labels_keep_their_order_and_their_distance(wanted: list[float], gap: float) -> None:
    positions = spread_out(np.array(wanted), gap)
    assert ((positions >= -1e-9) & (positions <= 1 + 1e-9)).all()
    order = np.argsort(wanted, kind="stable")
    least = min(gap, 1 / max(1, len(wanted) - 1))
    assert (np.diff(positions[order]) >= least - 1e-9).all()


@given(st.lists(st.floats(0.3, 0.7), min_size=1, max_size=5))
def test_no_other_positions_are_nearer_to_what_is_wanted(wanted: list[float]) -> None:
    """Against steps in every direction; the problem is convex."""
    gap = 0.05
    positions = spread_out(np.array(wanted), gap)
    best = np.square(positions - wanted).sum()
    order = np.argsort(wanted, kind="stable")
    for start in range(len(wanted)):
        for stop in range(start + 1, len(wanted) + 1):
            for step in (-1e-3, 1e-3):
                moved = positions.copy()
                moved[order[start:stop]] += step
                if (np.diff(moved[order]) >= gap - 1e-9).all():
                    assert np.square(moved - wanted).sum() >= best - 1e-9
