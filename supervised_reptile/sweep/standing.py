"""How the trials of a sweep stand: for the live table, and for the leaderboard at the end."""

from __future__ import annotations

from typing import NamedTuple

from supervised_reptile.runs.read_run import stored_evaluation
from supervised_reptile.sweep.dimensions import Value
from supervised_reptile.sweep.trials import SPLIT, Trial, final_accuracy, read_looks

WAITING, RUNNING, FINISHED = "waiting", "running", "finished"
STOPPED, FAILED, UNFINISHED = "stopped early", "failed", "unfinished"
ENDED = (FINISHED, STOPPED)
ORDER = (FINISHED, STOPPED, RUNNING, WAITING, UNFINISHED, FAILED)


class Standing(NamedTuple):
    """One trial."""

    trial: Trial
    status: str  # one of ORDER
    accuracy: float | None = None  # the objective; None before the first look
    half_width: float | None = None  # of its 95% interval; None where looks are all there is
    steps: int = 0  # outer steps behind the accuracy
    seconds: float | None = None  # of training; None where it is not finished
    failure: str = ""  # last lines

    @property
    def place(self) -> tuple[int, float]:
        """For sorting: finished ones first, best first."""
        return ORDER.index(self.status), -(self.accuracy or 0.0)


def stored_standing(trial: Trial, mode: str, value: float | None, failure: str = "") -> Standing:
    """What the run directory tells of a trial that is not running.

    value: what was told to the search at its end; None if it has none.
    """
    if accuracy := final_accuracy(trial, mode):
        seconds = stored_evaluation(trial.config, (SPLIT,))["training_seconds"]
        steps = trial.config.outer_steps
        return Standing(trial, FINISHED, accuracy.mean, accuracy.half_width, steps, seconds)
    status = STOPPED if value is not None else FAILED if failure else UNFINISHED
    looks = read_looks(trial.path)
    if not looks:
        return Standing(trial, status, failure=failure)
    # The process may have gone on for a moment after the look that decided.
    look = next((look for look in looks if look.accuracy == value), looks[-1])
    return Standing(trial, status, look.accuracy, steps=look.steps, failure=failure)


def shown_value(value: Value) -> str:
    """A flag's value, short."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def shown_accuracy(standing: Standing) -> str:
    """The objective in %."""
    if standing.accuracy is None:
        return "-"
    if standing.half_width is None:
        return f"{100 * standing.accuracy:.2f}"
    return f"{100 * standing.accuracy:.2f} ± {100 * standing.half_width:.2f}"
