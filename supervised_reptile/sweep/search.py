"""Ray Tune's search and early stopping on the trials of a study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from ray.tune import Callback, Stopper
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from supervised_reptile.sweep.live import LiveTable
from supervised_reptile.sweep.space import EarlyStopping
from supervised_reptile.sweep.standing import (
    FAILED,
    FINISHED,
    RUNNING,
    STOPPED,
    Standing,
)
from supervised_reptile.sweep.study import Asked, Study
from supervised_reptile.sweep.trials import Plan, Trial, make_trial, read_looks

WORKERS_DIED = "its worker died, or could not start, several times"
WHOLE = 100  # percent: when no rule stops a trial any more


class StudySearch(Searcher):
    """Gives Tune the trials that have no end yet, then new ones, and tells the study how they end.

    Ray's own OptunaSearch keeps what it has asked for in memory; after kill -9 it could not go on
    with the trials that were running.
    """

    def __init__(self, plan: Plan, study: Study, stopping: Callable[[], bool]) -> None:
        super().__init__(metric="accuracy", mode="max")
        self._plan, self._study, self.stopping = plan, study, stopping
        self._again = [asked for asked in study.trials if asked.value is None]
        self._running: dict[str, Trial] = {}  # by Tune's names
        self.trials: dict[int, Trial] = {}  # given to Tune, by their number
        self.ended: list[Standing] = []  # in this process, in the order of their ends

    @property
    def running(self) -> list[Trial]:
        """Given to Tune, and not ended."""
        return list(self._running.values())

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial for Tune; None as long as there is no room, FINISHED at the end."""
        if self.stopping():
            return Searcher.FINISHED
        if self._plan.jobs and len(self._running) >= self._plan.jobs:
            return None
        asked = self._next()
        if asked is None:
            return Searcher.FINISHED
        trial = make_trial(self._plan, asked.number, asked.point)
        self._running[trial_id] = self.trials[asked.number] = trial
        return {"number": asked.number, "point": dict(asked.point)}

    def _next(self) -> Asked | None:
        if self._again:
            return self._again.pop(0)
        return self._study.ask() if len(self._study.trials) < self._plan.trials else None

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tune stopped a trial, or it ended."""
        trial = self._running.pop(trial_id, None)
        if trial is None or self.stopping():
            return  # it goes on next time
        standing = standing_of(trial, result or {}, ended=True)
        if error:
            standing = standing._replace(status=FAILED, failure=WORKERS_DIED)
        self.ended.append(standing)
        if standing.status != FAILED:
            self._study.tell(trial.number, standing.accuracy)

    def explain(self, number: int, reason: str) -> None:
        """Why the workers of a trial died."""
        for i, standing in enumerate(self.ended):
            if standing.trial.number == number and standing.failure == WORKERS_DIED:
                self.ended[i] = standing._replace(failure=f"{WORKERS_DIED}, at last: {reason}")

    def save(self, checkpoint_path: str) -> None:
        """Tune wants a file; the study has its own."""
        with open(checkpoint_path, "wb"):
            pass

    def restore(self, checkpoint_path: str) -> None:
        """Never used: see `save`."""


def standing_of(trial: Trial, result: dict[str, Any], ended: bool) -> Standing:
    """How a trial stands by the last result that Tune has of it."""
    status = (
        FAILED if "failure" in result else FINISHED if "half_width" in result
        else STOPPED if ended else RUNNING
    )  # fmt: skip
    return Standing(
        trial,
        status,
        result.get("accuracy"),
        result.get("half_width"),
        round(result.get("percent", 0) / 100 * trial.config.outer_steps),
        failure=result.get("failure", ""),
    )


def scheduler_of(rule: EarlyStopping | None) -> TrialScheduler:
    """The early stopping that the sweep asked for."""
    if rule is None:
        return FIFOScheduler()
    return ASHAScheduler(
        time_attr="percent",
        metric="accuracy",
        mode="max",
        max_t=WHOLE,
        grace_period=WHOLE * rule.grace,  # pyright: ignore[reportArgumentType] need not be whole
        reduction_factor=rule.reduction,
    )


def replay(scheduler: TrialScheduler, trials: Sequence[Trial]) -> None:
    """Tell early stopping how earlier trials went, so that new ones are compared with them."""
    for trial in trials:
        past: Any = SimpleNamespace(trial_id=f"past-{trial.number}")
        controller: Any = None
        scheduler.on_trial_add(controller, past)
        for look in read_looks(trial.path):
            percent = 100 * look.steps / trial.config.outer_steps
            if percent < WHOLE:
                result = {"percent": percent, "accuracy": look.accuracy}
                scheduler.on_trial_result(controller, past, result)


class Display(Callback):
    """Keeps the live table up to date."""

    def __init__(self, table: LiveTable, search: StudySearch) -> None:
        self._table, self._search, self._shown = table, search, 0

    def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """A process begins."""
        self._table.update(Standing(self._search.trials[trial.config["number"]], RUNNING))

    def on_trial_result(
        self, iteration: int, trials: list, trial: Any, result: dict, **info: Any
    ) -> None:
        """A trial came further."""
        if not result.get("done"):
            own = self._search.trials[trial.config["number"]]
            self._table.update(standing_of(own, result, ended=False))

    def on_trial_recover(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """A worker died."""
        self._table.say(
            f"trial {trial.config['number']:03d} lost its worker; it continues on another"
        )

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """Workers died too often."""
        lines = str(trial.get_error() or "").strip().splitlines()
        self._search.explain(trial.config["number"], "".join(lines[-1:]))

    def on_step_end(self, iteration: int, trials: list, **info: Any) -> None:
        """Between any two events."""
        for standing in self._search.ended[self._shown :]:
            self._table.update(standing)
        self._shown = len(self._search.ended)
        self._table.draw()


class StopWhen(Stopper):
    """Ends the whole sweep as soon as a condition holds."""

    def __init__(self, condition: Callable[[], bool]) -> None:
        self._condition = condition

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Single trials are left to the scheduler."""
        return False

    def stop_all(self) -> bool:
        """Whether all trials are to stop."""
        return self._condition()
