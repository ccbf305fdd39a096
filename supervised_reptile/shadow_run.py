"""ShadowRun: what every worker but the chief has in place of the run directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from supervised_reptile.learner import Learner
from supervised_reptile.run_dir import RunDir


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

    log_alignment = write_results = log


AnyRun = RunDir | ShadowRun
