"""Workers that TF_CONFIG lists, the way TensorFlow documents it: Ray Train sets it, or a script."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from supervised_reptile.errors import UserError
from supervised_reptile.system.start_tensorflow import start_tensorflow

if TYPE_CHECKING:
    from supervised_reptile.algorithms.workers import Workers

VARIABLE = "TF_CONFIG"
JOBS = ("chief", "worker")  # in the order of their ranks
EXAMPLE = (
    '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
)


def read_rank(environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Which of how many workers this process is: (0, 1) where TF_CONFIG lists no others.

    Raises:
      UserError: it cannot be read.
    """
    try:
        content = json.loads(environment.get(VARIABLE) or "{}")
        cluster = content.get("cluster") or {}
        tasks = [(job, index) for job in JOBS for index, _ in enumerate(cluster.get(job, ()))]
        if len(tasks) < 2:
            return 0, 1
        task = content["task"]
        return tasks.index((task["type"], int(task["index"]))), len(tasks)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"the environment variable {VARIABLE}: it should look like {EXAMPLE} ({error!r})"
        ) from error


def join_workers(threads: int = 0) -> Workers:
    """Start TensorFlow with `threads` cores (0: all) and connect it with all workers of TF_CONFIG.

    Waits for those that are not there yet.

    Raises:
      UserError: TF_CONFIG cannot be read, or this worker cannot listen on its address.
    """
    rank, size = read_rank()
    start_tensorflow(threads, _connect)
    from supervised_reptile.algorithms.workers import Workers

    return Workers(rank, size)


@contextlib.contextmanager
def lost_worker_named() -> Iterator[None]:
    """Turns what TensorFlow says when another worker is gone into one sentence (UserError)."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        if "ollective" not in str(error):
            raise
        lost = re.findall(r"/job:(\w+)(?:/replica:\d+)?/task:(\d+)", str(error))
        who = f"{lost[-1][0]} {lost[-1][1]} of {VARIABLE}" if lost else "another worker"
        raise UserError(
            f"{who} has ended or no longer answers: see its output. Start all workers again with "
            "--resume to continue from the last checkpoint"
        ) from error


def _connect() -> None:
    import tensorflow as tf

    # Native code waits, which Python's handler would not interrupt.
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    except ValueError:  # in a thread, as Ray's workers are, which hear of Ctrl-C otherwise
        before = None
    try:
        tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"this worker cannot join the others of {VARIABLE} ({reason})") from error
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
