"""Statistics of accuracies: intervals over episodes and seeds, and paired tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from supervised_reptile.errors import plural

LEVEL = 0.95  # of all intervals
FEWEST = 6  # values between whose ends the median is at that level: 1 - 2 / 2^5 is less
_NORMAL = 1.96  # standard errors on either side of a mean over many episodes, at that level


class Accuracy(NamedTuple):
    """A mean accuracy with the half width of its 95% confidence interval over episodes."""

    mean: float  # 0 ... 1
    half_width: float | None  # None for a single episode, which says nothing of its spread
    episodes: int

    def __str__(self) -> str:
        spread = "?" if self.half_width is None else f"{self.half_width:.5f}"
        over = f"{self.episodes} {plural(self.episodes, 'episode')}"
        return f"{self.mean:.5f} +- {spread} (95% interval over {over})"


class Paired(NamedTuple):
    """Difference of two learners on the same episodes."""

    difference: float  # of the mean accuracies, -1 ... 1
    half_width: float | None  # of its 95% confidence interval; None for a single episode
    p: float | None  # two-sided; how often chance alone would do this; None for a single episode
    episodes: int


class Spread(NamedTuple):
    """A mean over runs that differ in their seed only."""

    mean: float
    deviation: float | None  # sample standard deviation; None for a single seed
    half_width: float | None  # of the mean's 95% confidence interval; None for a single seed
    seeds: int


def accuracy(correct: np.ndarray, queries: int) -> Accuracy:
    """Accuracy from `correct` predictions out of `queries` in each episode, int [episodes].

    The interval is 1.96 standard errors of the mean over episodes, which are independent;
    queries of one episode are not.
    """
    rates = np.asarray(correct, np.float64) / queries
    return Accuracy(*mean_of(rates), len(rates))


class Loss(NamedTuple):
    """Losses of many independent tasks, with 95% confidence intervals."""

    mean: float
    half_width: float | None  # of the mean's interval; None for a single task
    median: float  # losses are skewed: a few tasks can carry the mean
    median_interval: tuple[float, float] | None  # None for fewer than FEWEST tasks
    tasks: int

    def __str__(self) -> str:
        spread = "?" if self.half_width is None else f"{self.half_width:.4f}"
        return f"mean {self.mean:.4f} +- {spread}, median {self.median:.4f} ({self.median_spread})"

    @property
    def median_spread(self) -> str:
        """The median's interval, for people."""
        return "{:.4f} to {:.4f}".format(*self.median_interval) if self.median_interval else "?"


def loss(losses: np.ndarray) -> Loss:
    """Mean and median of `losses`, float [tasks].

    The median's interval is between two of the losses: how many of them are below the true median
    is binomial, whatever their distribution; here its normal approximation.
    """
    ordered, count = np.sort(np.asarray(losses, np.float64)), len(losses)
    reach = _NORMAL * math.sqrt(count) / 2
    low = max(math.floor(count / 2 - reach), 1)
    high = min(math.ceil(count / 2 + reach) + 1, count)
    interval = (float(ordered[low - 1]), float(ordered[high - 1])) if count >= FEWEST else None
    return Loss(*mean_of(ordered), float(np.median(ordered)), interval, count)


def mean_of(values: np.ndarray) -> tuple[float, float | None]:
    """The mean of independent values, float [n], and the half width of its interval.

    That is 1.96 standard errors, or None for a single value.
    """
    mean, count = float(values.mean()), len(values)
    if count < 2:
        return mean, None
    return mean, _NORMAL * float(values.std(ddof=1)) / math.sqrt(count)


def paired(first: np.ndarray, second: np.ndarray, queries: int) -> Paired:
    """Student's paired t-test on correct predictions out of `queries`, int [episodes] each.

    Episodes differ in difficulty much more than learners do. This cancels in the difference within
    an episode, so the test detects smaller differences than two separate intervals.
    """
    # Whole numbers, so that a constant difference has no spread at all.
    differences = np.asarray(first, np.int64) - np.asarray(second, np.int64)
    count, mean = len(differences), float(differences.mean())
    if count < 2:
        return Paired(mean / queries, None, None, count)
    error = float(differences.std(ddof=1)) / math.sqrt(count)
    p = two_sided_p(mean / error, count - 1) if error else float(mean == 0)
    return Paired(mean / queries, t_quantile(count - 1) * error / queries, p, count)


def over_seeds(values: Sequence[float]) -> Spread:
    """Mean, spread and Student's interval of one number per seed, [seeds]."""
    numbers = np.asarray(values, np.float64)
    mean = float(numbers.mean())
    if len(numbers) < 2:
        return Spread(mean, None, None, len(numbers))
    deviation = float(numbers.std(ddof=1))
    half_width = t_quantile(len(numbers) - 1) * deviation / math.sqrt(len(numbers))
    return Spread(mean, deviation, half_width, len(numbers))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values adjusted for their number, in the order given (Holm 1979).

    Rejecting those below 0.05 errs in at least one of them with a chance of at most 0.05.
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, (len(p_values) - rank) * p_values[index])
        adjusted[index] = min(largest, 1.0)
    return adjusted


def two_sided_p(t: float, freedom: int) -> float:
    """The chance that Student's t with `freedom` degrees of freedom is as far from 0 as `t`."""
    from scipy.special import stdtr

    return 2 * float(stdtr(freedom, -abs(t)))


def t_quantile(freedom: int, level: float = LEVEL) -> float:
    """What |Student's t| with `freedom` degrees of freedom stays below with chance `level`."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + level) / 2))
