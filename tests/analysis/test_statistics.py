"""Intervals, paired tests and corrections, against SciPy and known answers."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from supervised_reptile.analysis.statistics import (
    Accuracy,
    Paired,
    Spread,
    accuracy,
    holm,
    loss,
    over_seeds,
    paired,
    t_quantile,
    two_sided_p,
)

# ---- over episodes


def test_mean_and_interval() -> None:
    correct = np.random.default_rng(0).binomial(5, 0.7, 1000)
    result = accuracy(correct, 5)
    assert result.episodes == 1000
    assert result.mean == pytest.approx(correct.sum() / 5000)
    assert result.half_width == pytest.approx(1.96 * stats.sem(correct / 5))
    low, high = stats.norm.interval(0.95, result.mean, stats.sem(correct / 5))
    assert result.mean - result.half_width == pytest.approx(low, abs=1e-5)
    assert result.mean + result.half_width == pytest.approx(high, abs=1e-5)


def test_intervals_hold_the_truth_95_times_in_100() -> None:
    random = np.random.default_rng(1)
    results = [accuracy(random.binomial(5, 0.7, 200), 5) for _ in range(2000)]
    held = np.mean([abs(result.mean - 0.7) <= result.half_width for result in results])
    assert held == pytest.approx(0.95, abs=0.015)


def test_a_single_episode_has_no_interval() -> None:
    result = accuracy(np.array([4]), 5)
    assert result == Accuracy(0.8, None, 1)
    assert str(result) == "0.80000 +- ? (95% interval over 1 episode)"
    assert accuracy(np.array([5, 5]), 5) == Accuracy(1.0, 0.0, 2)


def test_an_accuracy_reads_number_first() -> None:
    assert str(Accuracy(0.5, 0.0125, 400)) == "0.50000 +- 0.01250 (95% interval over 400 episodes)"


@pytest.mark.parametrize("count", [6, 7, 20, 101])
def test_the_medians_interval_holds_it_95_times_in_100(count: int) -> None:
    random = np.random.default_rng(2)
    intervals = [loss(random.exponential(size=count)).median_interval for _ in range(2000)]
    held = np.mean([low <= math.log(2) <= high for low, high in intervals])
    assert held > 0.94


def test_the_median_of_few_losses_has_no_interval() -> None:
    found = loss(np.arange(5.0))
    assert found.median_interval is None
    assert str(found).endswith("median 2.0000 (?)")
    assert str(loss(np.arange(6.0))).endswith("median 2.5000 (0.0000 to 5.0000)")


# ---- Student's distribution


def test_students_distribution_has_the_values_of_its_tables() -> None:
    assert [t_quantile(n) for n in (1, 4, 29)] == pytest.approx([12.70620, 2.776445, 2.045230])
    assert t_quantile(100_000) == pytest.approx(1.96, abs=1e-4)
    assert [t_quantile(1, 0.5), two_sided_p(0.0, 7)] == pytest.approx([1, 1])
    assert two_sided_p(2.776445, 4) == two_sided_p(-2.776445, 4) == pytest.approx(0.05)
    assert two_sided_p(math.inf, 5) == 0


# ---- pairs


@pytest.mark.parametrize("episodes", [2, 3, 40, 10_000])
def test_a_paired_test_is_scipys(episodes: int) -> None:
    random = np.random.default_rng(episodes)
    hard = random.random(episodes)
    first, second = random.binomial(5, hard), random.binomial(5, 0.9 * hard)
    first[0], second[0] = 5, 1  # a spread in any case
    result = paired(first, second, 5)
    expected = stats.ttest_rel(first / 5, second / 5)
    low, high = expected.confidence_interval(0.95)
    assert result.episodes == episodes
    assert result.difference == pytest.approx((first.mean() - second.mean()) / 5)
    assert result.p == pytest.approx(expected.pvalue, rel=1e-8)
    assert result.difference - result.half_width == pytest.approx(low)
    assert result.difference + result.half_width == pytest.approx(high)


def test_pairs_without_spread() -> None:
    counts = np.array([1, 4, 2, 3, 0])
    assert paired(counts, counts, 5) == Paired(0.0, 0.0, 1.0, 5)
    assert paired(counts + 1, counts, 5) == Paired(0.2, 0.0, 0.0, 5)
    # 0.6 - 0.4 and 0.4 - 0.2 differ in the last bit, as floats.
    assert paired(np.array([3, 2]), np.array([2, 1]), 5) == Paired(0.2, 0.0, 0.0, 2)


def test_one_pair_says_nothing_of_chance() -> None:
    assert paired(np.array([4]), np.array([3]), 5) == Paired(0.2, None, None, 1)


def test_unsigned_counts_may_differ_downwards() -> None:
    first, second = np.array([1, 2, 0], np.uint8), np.array([2, 2, 2], np.uint8)
    assert paired(first, second, 5).difference == pytest.approx(-0.2)


# ---- seeds


def test_over_seeds_is_students_interval() -> None:
    values = [0.61, 0.64, 0.66, 0.59, 0.63]
    result = over_seeds(values)
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert result.seeds == 5
    assert result.mean == pytest.approx(0.626)
    assert result.deviation == pytest.approx(np.std(values, ddof=1))
    assert (result.mean - result.half_width, result.mean + result.half_width) == pytest.approx(
        (low, high)
    )


def test_few_seeds() -> None:
    assert over_seeds([0.5]) == Spread(0.5, None, None, 1)
    assert over_seeds([0.5, 0.5]) == Spread(0.5, 0.0, 0.0, 2)
    two = over_seeds([0.4, 0.6])
    assert two.half_width == pytest.approx(12.706205 * 0.1)  # two seeds say very little


# ---- many tests at once


def test_holms_own_way_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.2, 0.5, 0.9]) == pytest.approx([0.6, 1.0, 1.0])
    assert holm([0.03]) == [0.03]
    assert holm([]) == []
    assert holm([0.01, 0.01]) == pytest.approx([0.02, 0.02])


@given(st.lists(st.floats(0, 1), max_size=12), st.floats(0.001, 0.5))
def test_adjusted_values_reject_what_the_step_down_procedure_does(
    p_values: list[float], level: float
) -> None:
    adjusted = holm(p_values)
    rejected = set()
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if (len(p_values) - rank) * p_values[index] > level:
            break
        rejected.add(index)
    assert {i for i, value in enumerate(adjusted) if value <= level} == rejected
    assert all(p <= value <= 1 for p, value in zip(p_values, adjusted, strict=True))


def test_nothing_but_numpy_is_imported() -> None:
    program = "import sys, supervised_reptile.analysis.statistics; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "numpy" in loaded
    assert not loaded & {"tensorflow", "scipy", "matplotlib"}
