"""Labels at the ends of curves stay apart and near."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text

from supervised_reptile.labels import label_ends, spread

POSITIONS = st.lists(st.floats(-1000, 1000), min_size=1, max_size=12)


@given(POSITIONS)
def test_places_are_apart_and_in_order(positions: list[float]) -> None:
    places = spread(positions, 10.0)
    order = np.argsort(positions, kind="stable")
    assert (np.diff(places[order]) > 10 - 1e-6).all()
    assert np.isclose(places.mean(), np.mean(positions))  # together near them


@given(st.permutations([0.0, 11.0, 25.0, 100.0]))
def test_what_is_apart_stays_in_place(positions: list[float]) -> None:
    np.testing.assert_allclose(spread(positions, 10.0), positions)


def test_a_group_is_centred_on_its_members() -> None:
    np.testing.assert_allclose(spread([5.0, 5.0, 5.0, 50.0], 2.0), [3.0, 5.0, 7.0, 50.0])


def test_written_labels_do_not_touch() -> None:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for i in range(6):
        axes.plot([0, 1], [0, 1 + i / 1000], label=f"curve {i}")
    axes.plot([0, 1], [0, 0.5])  # without a label
    label_ends(axes)
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in axes.texts]  # without the lines to them
    assert [text.get_text() for text in axes.texts] == [f"curve {i}" for i in range(6)]
    bottoms, tops = (np.sort([getattr(box, side) for box in boxes]) for side in ("y0", "y1"))
    assert (bottoms[1:] >= tops[:-1]).all()
    assert min(box.x0 for box in boxes) > axes.transData.transform((1, 1))[0]
