"""Cluster: the workers of one training run as the environment variable TF_CONFIG lists them."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from supervised_reptile.errors import UserError

VARIABLE = "TF_CONFIG"
JOBS = ("chief", "worker")  # in the order of their ranks; the first worker of all is the chief
LONGEST_RING = 8  # of workers, if they can stand in a grid instead
EXAMPLE = (
    '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
)


class Cluster(NamedTuple):
    """Where the workers of a run listen, and which of them this process is."""

    tasks: tuple[tuple[str, int], ...]  # job and index of each, the chief's first
    addresses: tuple[str, ...]  # host:port of each
    rank: int

    def name(self, rank: int) -> str:
        """What messages call a worker."""
        return f"worker {rank} ({self.addresses[rank]})"


def read_cluster(environment: Mapping[str, str] = os.environ) -> Cluster | None:
    """What TF_CONFIG says; None where there is none, or nobody to work with.

    Raises:
      UserError: it is not what TensorFlow documents for workers that train together.
    """
    text = environment.get(VARIABLE, "").strip()
    if not text:
        return None
    try:
        content = json.loads(text)
    except ValueError as error:
        raise _wrong(f"it is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise _wrong("it is not a JSON object")
    if not content.get("cluster"):
        return None
    jobs = _jobs(content["cluster"])
    tasks = tuple((job, index) for job in JOBS for index in range(len(jobs.get(job, ()))))
    addresses = tuple(address for job in JOBS for address in jobs.get(job, ()))
    if twice := sorted({a for a in addresses if addresses.count(a) > 1}):
        raise _wrong(f"{twice[0]} is listed for more than one worker")
    rank = _rank(content.get("task"), tasks)
    return Cluster(tasks, addresses, rank) if len(tasks) > 1 else None


def rings(workers: int) -> tuple[int, ...]:
    """How many workers are in each of the rings that one takes part in, one after the other.

    A ring passes on 2 (n - 1) times, so many workers stand in a grid: its rows are the first rings,
    its columns the second. 512 workers pass on 92 times instead of 1022.
    """
    if workers <= LONGEST_RING:
        return (workers,)
    columns = next(n for n in range(math.isqrt(workers), 0, -1) if workers % n == 0)
    return (columns, workers // columns) if columns > 1 else (workers,)


def write_cluster(addresses: tuple[str, ...], rank: int) -> str:
    """TF_CONFIG of one of the workers at `addresses`."""
    task = {"type": "worker", "index": rank}
    return json.dumps({"cluster": {"worker": list(addresses)}, "task": task})


def _jobs(cluster: Any) -> dict[str, list[str]]:
    """The addresses of each job."""
    if not isinstance(cluster, dict):
        raise _wrong('"cluster" is not an object with lists of addresses')
    for job, addresses in cluster.items():
        if job not in JOBS:
            raise _wrong(f"unknown job {job!r}; this program has {' and '.join(JOBS)}")
        if not isinstance(addresses, list) or not all(map(_is_address, addresses)):
            raise _wrong(f"the addresses of {job!r} are not a list of texts like host:2222")
    if len(cluster.get("chief", ())) > 1:
        raise _wrong("it names more than one chief")
    return cluster


def _is_address(value: Any) -> bool:
    host, colon, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    try:
        host.encode("idna")  # as looking it up does
    except UnicodeError:
        return False
    return bool(host and colon) and port.isdecimal() and 0 < int(port) < 2**16


def _rank(task: Any, tasks: tuple[tuple[str, int], ...]) -> int:
    """The place of this process's own task."""
    if not isinstance(task, dict) or "type" not in task or "index" not in task:
        raise _wrong('"task" does not say which worker this is')
    index = task["index"]
    if isinstance(index, str) and index.isdecimal():  # as some schedulers write it
        index = int(index)
    own = (task["type"], index)
    if isinstance(index, bool) or own not in tasks:
        raise _wrong(f'"task" is {task["type"]!r} {index!r}, which "cluster" does not list')
    return tasks.index(own)


def _wrong(what: str) -> UserError:
    return UserError(f"the environment variable {VARIABLE}: {what}; it should look like {EXAMPLE}")
