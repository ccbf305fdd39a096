"""The time of an outer step that several workers share, as a model, and tables of it.

A ring of n workers all-reduces B bytes in 2 (n - 1) hops one after the other, each of which hands
B / n bytes to the next worker. A hop costs a fixed time and a time per byte, in TensorFlow and on
the wire. Up to 8 workers are one ring, more stand in a grid (`cluster.rings`). Before that, the
worker with the most tasks adapts to them:

    step(W, M) = ceil(M / W) * task + sum over rings of 2 (n - 1) * (start + B / n * per_byte)

and the efficiency is M * task / W / step, 1 if W workers are W times as fast as one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from supervised_reptile.analysis.tables import Table
from supervised_reptile.system.tf_config import rings

WORKERS = (8, 64, 512)
TASKS_PER_WORKER = (1, 2, 5, 10, 20, 50, 100, 200)
WANTED = 0.9  # efficiency


class Hop(NamedTuple):
    """What one hop of the ring costs."""

    start: float  # seconds
    per_byte: float  # seconds


# Typical of a rack, not measured here: what the wire adds to a hop.
NETWORKS = {
    "1 Gbit/s Ethernet, 100 us": Hop(100e-6, 8 / 1e9),
    "10 Gbit/s Ethernet, 30 us": Hop(30e-6, 8 / 10e9),
    "100 Gbit/s, 5 us": Hop(5e-6, 8 / 100e9),
}


def all_reduce_seconds(hop: Hop, workers: int, size: float) -> float:
    """Of `size` bytes."""
    return sum(2 * (n - 1) * (hop.start + size / n * hop.per_byte) for n in rings(workers))


def step_seconds(hop: Hop, workers: int, meta_batch: int, size: float, task: float) -> float:
    """Of an outer step whose tasks take a worker `task` seconds each."""
    return math.ceil(meta_batch / workers) * task + all_reduce_seconds(hop, workers, size)


def efficiency(hop: Hop, workers: int, meta_batch: int, size: float, task: float) -> float:
    """How many times as fast as one worker, over the number of workers."""
    step = step_seconds(hop, workers, meta_batch, size, task)
    return meta_batch * task / workers / step


def enough_tasks(hop: Hop, workers: int, size: float, task: float) -> int:
    """Tasks for each worker from which the efficiency is WANTED."""
    return math.ceil(all_reduce_seconds(hop, workers, size) / task * WANTED / (1 - WANTED))


def fit_hop(sizes: Mapping[float, float]) -> Hop:
    """From seconds of all-reduces by two workers, by bytes: least squares of relative errors."""
    size, seconds = np.array(list(sizes.items())).T
    columns = np.stack([np.full_like(size, 2), size]) / seconds  # 2 hops of half the bytes
    start, per_byte = np.linalg.lstsq(columns.T, np.ones_like(size), rcond=None)[0]
    return Hop(max(float(start), 0.0), max(float(per_byte), 0.0))


def plus(one: Hop, other: Hop) -> Hop:
    """A hop that costs both."""
    return Hop(one.start + other.start, one.per_byte + other.per_byte)


def efficiency_table(hop: Hop, size: float, task: float) -> Table:
    """For each network and WORKERS, with one more column: the meta-batch that is large enough."""
    rows = []
    for name, wire in NETWORKS.items():
        whole = plus(hop, wire)
        for workers in WORKERS:
            shares = [
                f"{100 * efficiency(whole, workers, workers * n, size, task):.0f}"
                for n in TASKS_PER_WORKER
            ]
            enough = enough_tasks(whole, workers, size, task)
            exchange = 1e3 * all_reduce_seconds(whole, workers, size)
            row = (name, str(workers), f"{exchange:.1f}", *shares, f"{workers * enough:,}")
            rows.append(row)
    columns = (
        "network",
        "workers",
        "all-reduce, ms",
        *(f"{n} task{'s' * (n > 1)} each" for n in TASKS_PER_WORKER),
        f"meta-batch for {100 * WANTED:.0f}%",
    )
    return Table("Efficiency in %, by the model", columns, tuple(rows))
