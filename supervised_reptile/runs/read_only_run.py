"""ReadOnlyRun: what stands for the run directory where nothing is to be written.

That is on every worker but the first, where a run is evaluated that cannot be written, and where
weights of a file are.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from supervised_reptile.algorithms.learner import Learner
from supervised_reptile.runs.run_dir import RunDir, newest_readable
from supervised_reptile.runs.snapshot import Snapshot, flat


class ReadOnlyRun:
    """Has RunDir's methods and writes nothing."""

    def __init__(self, path: Path, load: Callable[[Learner], int] | None = None) -> None:
        """load: puts weights into a learner and returns the outer steps behind them."""
        self.path = path  # for messages
        self.step = 0  # outer steps behind the learner's weights
        self.training_seconds = 0.0
        self._load = load

    def __enter__(self) -> ReadOnlyRun:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def attach(self, learner: Learner) -> None:
        """Load the weights (UserError where they cannot be read)."""
        if self._load:
            self.step = self._load(learner)

    def save(self, step: int) -> None:
        self.step = step

    def log(self, *_: Any) -> None:
        """Nothing is logged."""

    log_alignment = log_fit = write_results = log


AnyRun = RunDir | ReadOnlyRun


def load_checkpoint(path: Path, learner: Learner) -> int:
    """Put the newest readable checkpoint of the run in `path` into `learner`.

    Returns its outer step.

    Raises:
      UserError: there is none.
    """
    step = tf.Variable(tf.constant(0, tf.int64))
    checkpoint = tf.train.Checkpoint(
        weights=learner.weights,
        second_moment=learner.second_moment,
        time=learner.time,
        step=step,
    )

    def read(prefix: str) -> None:  # also an outer optimizer's state, which is not needed
        checkpoint.restore(prefix).assert_existing_objects_matched().expect_partial()

    newest_readable(path, read)
    return int(step)


def load_snapshot(snapshot: Snapshot, learner: Learner) -> int:
    """Put the snapshot's weights, second moments and time into a learner of its network.

    Returns the outer steps behind them.
    """
    learner.weights.assign(flat(snapshot.weights))
    learner.second_moment.assign(flat(snapshot.second_moment))
    learner.time.assign(np.int64(snapshot.time))
    return snapshot.outer_steps
