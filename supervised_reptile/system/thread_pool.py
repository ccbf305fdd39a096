"""Work done ahead of its use, on as many cores as there are."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """The processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_ahead(
    pool: Executor, work: Callable[[T], R], inputs: Iterable[T], ahead: int | None = None
) -> Iterator[R]:
    """`pool.map` that takes inputs only `ahead` of the results, for endless or large inputs.

    By default a few for each core.
    """
    ahead = 4 * cores() if ahead is None else ahead
    waiting: deque[Future[R]] = deque()
    for value in inputs:
        waiting.append(pool.submit(work, value))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
