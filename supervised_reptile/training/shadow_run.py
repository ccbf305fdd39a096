"""ShadowRun: what every worker but the chief has in place of the run directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from supervised_reptile.algorithms.learner import Learner
from supervised_reptile.runs.run_dir import RunDir, newest_readable


class ShadowRun:
    """Takes what RunDir takes and writes nothing: the chief does."""

    def __init__(self, path: Path) -> None:
        """`path` is where the chief writes, for messages; it may be on another machine."""
        self.path = path
        self.training_seconds = 0.0
        self.step = 0  # outer steps that the chief's newest checkpoint has behind it

    def __enter__(self) -> ShadowRun:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def attach(self, learner: Learner) -> None:
        """Whose weights they are matters to the chief alone."""

    def save(self, step: int) -> None:
        """The chief saves after outer step `step`."""
        self.step = step

    def log(self, *_: Any) -> None:
        """The chief logs."""

    log_alignment = log_fit = write_results = log


class ReadOnlyRun(ShadowRun):
    """A run directory that cannot be written; its weights are read and nothing is stored."""

    def attach(self, learner: Learner) -> None:
        """Load the newest readable checkpoint (UserError where there is none)."""
        step, seconds = (
            tf.Variable(tf.constant(0, tf.int64)),
            tf.Variable(tf.constant(0.0, tf.float64)),
        )
        checkpoint = tf.train.Checkpoint(
            weights=learner.weights,
            second_moment=learner.second_moment,
            time=learner.time,
            step=step,
            seconds=seconds,
        )

        def read(prefix: str) -> None:  # also an outer optimizer's state, which is not needed
            checkpoint.restore(prefix).assert_existing_objects_matched().expect_partial()

        newest_readable(self.path, read)
        self.step, self.training_seconds = int(step), float(seconds)


AnyRun = RunDir | ShadowRun
