"""Random numbers that are the same on every machine and with every NumPy and Python.

NumPy may change how its distributions are drawn, never the raw words of a bit
generator. Only those are used here, and only arithmetic that IEEE 754 fixes to the
last bit (no log, no cos), so whatever is computed from them alike is reproducible exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Option = TypeVar("Option")

SQRT_3 = 1.7320508075688772


class Chance:
    """A stream of random numbers that is a pure function of `seed` and `path`.

    `seed` is from 0 to 2**128 - 1. `path` (at most three whole numbers: say purpose,
    alphabet, drawing) sets Philox's counter, so streams depend neither on each other nor
    on the order they are made in.
    """

    def __init__(self, seed: int, *path: int) -> None:
        counter = np.zeros(4, np.uint64)  # its first word counts the numbers drawn
        counter[1 : 1 + len(path)] = path
        self._words = np.random.Philox(key=seed, counter=counter)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Evenly distributed in [low, high)."""
        return low + (high - low) * ((self._words.random_raw() >> 11) * 2.0**-53)

    def bell(self, *shape: int) -> np.ndarray:
        """Bell-shaped numbers, float64 of `shape`: mean 0, deviation 1, none beyond 3.5."""
        raw = self._words.random_raw(4 * math.prod(shape)).reshape(4, *shape)
        evenly = (raw >> np.uint64(11)) * 2.0**-53
        total = evenly[0] + evenly[1] + evenly[2] + evenly[3]  # mean 2, variance 4 / 12
        return (total - 2.0) * SQRT_3

    def happens(self, probability: float) -> bool:
        """True with `probability`."""
        return self.uniform() < probability

    def choose(
        self, options: Sequence[Option] | np.ndarray, weights: Sequence[float] | None = None
    ) -> Option:
        """One of `options`, in proportion to `weights` (all alike by default; none negative)."""
        if weights is None:
            return options[int(self.uniform(0.0, len(options)))]
        mark = self.uniform(0.0, math.fsum(weights))
        for option, weight in zip(options, weights, strict=True):
            mark -= weight
            if mark < 0.0:
                return option
        return options[-1]
