"""Placement: how many workers a run has, and where Ray starts them."""

from __future__ import annotations

import dataclasses

from supervised_reptile.system.thread_pool import cores


@dataclasses.dataclass(frozen=True)
class Placement:
    """How many workers a run has, and where they are."""

    workers: int
    ray_address: str | None = None  # None: a Ray of our own on this machine
    worker_cpus: int = 0  # 0: an equal share of this machine's; on a cluster 1
    worker_gpus: int = 0
    max_failures: int = 3  # times that workers that die are started again

    @property
    def cpus(self) -> int:
        """CPUs of one worker."""
        here = 1 if self.ray_address else max(1, cores() // self.workers)
        return self.worker_cpus or here
