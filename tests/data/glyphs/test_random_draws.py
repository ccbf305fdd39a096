"""Random numbers: pinned values, independence of streams, distributions."""

from __future__ import annotations

import numpy as np
import pytest

from supervised_reptile.data.glyphs.random_draws import Chance


def test_numbers_are_pinned_for_good() -> None:
    chance = Chance(7, 1, 2, 3)
    assert chance.uniform() == 0.4744617738032243
    assert chance.bell(2).tolist() == [-0.22422167759845218, 0.3434839082263705]
    assert chance.choose("abcdefgh", range(8)) == "g"


def test_a_stream_is_a_function_of_its_path() -> None:
    first = Chance(1, 5).bell(4)
    Chance(1, 6).bell(4)
    assert np.array_equal(Chance(1, 5).bell(4), first)
    for other in (Chance(2, 5), Chance(1, 6), Chance(1, 5, 1), Chance(1)):
        assert not np.array_equal(other.bell(4), first)


def test_distributions() -> None:
    chance = Chance(0)
    bell = chance.bell(20_000)
    assert abs(bell.mean()) < 0.03
    assert bell.std() == pytest.approx(1.0, abs=0.03)
    assert np.abs(bell).max() < 3.5
    even = [chance.uniform(2.0, 4.0) for _ in range(4000)]
    assert 2.0 <= min(even) < 2.01
    assert 3.99 < max(even) < 4.0
    assert np.mean([chance.happens(0.2) for _ in range(4000)]) == pytest.approx(0.2, abs=0.03)


def test_choices_follow_their_weights() -> None:
    chance = Chance(0)
    chosen = [chance.choose("abc", (1.0, 0.0, 3.0)) for _ in range(4000)]
    assert "b" not in chosen
    assert chosen.count("c") / len(chosen) == pytest.approx(0.75, abs=0.03)
    assert {chance.choose("abc") for _ in range(100)} == set("abc")
