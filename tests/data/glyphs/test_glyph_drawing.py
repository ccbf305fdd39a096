"""Performing one character."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from supervised_reptile.data.glyphs.drawing import IDEAL, SIDE, draw, invent_drawer
from supervised_reptile.data.glyphs.random_draws import Chance

UPRIGHT = np.array([[0.5, 0.0, 1.0], [0.5, 1.0, 1.0]])
CORNER = np.array([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]])


@pytest.mark.parametrize("pen", [4, 5, 6])
def test_a_straight_stroke_is_as_wide_as_the_pen(pen: int) -> None:
    ink = draw((UPRIGHT,), replace(IDEAL, pen=pen), Chance(0))
    assert ink.shape == (SIDE, SIDE)
    assert ink[SIDE // 2].sum() == pen
    assert ink.any(axis=1).sum() == pytest.approx(IDEAL.size[1] + pen, abs=2)


def test_strokes_have_no_gaps() -> None:
    ink = draw((UPRIGHT,), IDEAL, Chance(0))
    rows = np.flatnonzero(ink.any(axis=1))
    assert np.array_equal(rows, np.arange(rows[0], rows[-1] + 1))


def test_the_ideal_drawer_leaves_nothing_to_chance() -> None:
    assert np.array_equal(draw((CORNER,), IDEAL, Chance(0)), draw((CORNER,), IDEAL, Chance(1)))


def test_a_flowing_hand_cuts_corners_and_nothing_else() -> None:
    flowing = replace(IDEAL, rounding=1.0)
    assert not np.array_equal(
        draw((CORNER,), flowing, Chance(0)), draw((CORNER,), IDEAL, Chance(0))
    )
    assert np.array_equal(draw((UPRIGHT,), flowing, Chance(0)), draw((UPRIGHT,), IDEAL, Chance(0)))


def test_even_giants_stay_on_the_paper() -> None:
    for number in range(20):
        drawer = replace(invent_drawer(Chance(0, number)), size=np.array([300.0, 300.0]))
        ink = draw((UPRIGHT, CORNER), drawer, Chance(1, number))
        inner = ink[1:-1, 1:-1]
        assert inner.sum() == ink.sum() > 0


def test_drawings_of_one_drawer_differ_but_not_much() -> None:
    drawer = invent_drawer(Chance(0, 3))
    first, second = (draw((CORNER,), drawer, Chance(1, number)) for number in range(2))
    assert not np.array_equal(first, second)
    assert first.sum() == pytest.approx(second.sum(), rel=0.5)
