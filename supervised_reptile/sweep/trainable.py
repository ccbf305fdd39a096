"""A trial as Ray Tune runs it: the ordinary command as a process, watched by its run directory."""

from __future__ import annotations

import platform
import subprocess
import time
from typing import Any

from ray import tune

from supervised_reptile.runs.read_run import holds_run
from supervised_reptile.sweep.trials import (
    Look,
    Plan,
    final_accuracy,
    holds_sweep,
    make_trial,
    read_looks,
)
from supervised_reptile.system.folder_lock import PATIENCE, POLL_SECONDS, wait_until_free
from supervised_reptile.system.processes import last_lines, start_run

LONGEST_STEP = 1.0  # seconds without news after which Tune is told the old: it may want to stop
MOST_RESULTS = 100  # of a trial that Tune hears of, however many looks there are
SHOWN_LINES = 5  # of what a failed trial printed


class TrialRun(tune.Trainable):
    """Runs trial config["number"] at config["point"], continuing what its directory holds.

    Results have `percent` of the outer steps and `accuracy`, once there are any; the last one
    has `done`, and `half_width` if the trial was evaluated or else `failure`, its last lines.
    """

    def setup(self, config: dict[str, Any], plan: Plan) -> None:
        """Start the process, unless the run is finished."""
        self._trial = make_trial(plan, config["number"], config["point"])
        self._mode = plan.space.mode(self._trial.config)
        self._reported = 0
        self._last: dict[str, Any] = {"percent": 0.0}
        self._process: subprocess.Popen | None = None
        self._obstacle = ""
        if not holds_sweep(plan.out):
            self._obstacle = (
                f"{plan.out} is empty on {platform.node()}: --out has to be a folder that all "
                "machines share"
            )
            return
        if final_accuracy(self._trial, self._mode):
            return
        path = self._trial.path
        wait_until_free(path)  # an earlier process may have lost its node, and be about to save
        words = [*self._trial.words, *["--resume"] * holds_run(path)]
        self._process = start_run(words, self._trial.log)

    def step(self) -> dict[str, Any]:
        """What is new; after a second at the latest, what was last known."""
        deadline = time.monotonic() + LONGEST_STEP
        while True:
            ended = self._process is None or self._process.poll() is not None
            if look := self._next_look():
                self._reported = look.steps
                share = look.steps / self._trial.config.outer_steps
                self._last = {"percent": 100 * share, "accuracy": look.accuracy}
                return dict(self._last)
            if ended:
                return self._result()
            if time.monotonic() > deadline:
                return dict(self._last)
            time.sleep(POLL_SECONDS)

    def _next_look(self) -> Look | None:
        """The first look that is news, in their order, so that early stopping misses no rung.

        One after the last outer step is none: the evaluation, which follows, is not to be stopped.
        """
        whole = self._trial.config.outer_steps
        news = self._reported + whole / MOST_RESULTS
        looks = read_looks(self._trial.path)
        return next((look for look in looks if news <= look.steps < whole), None)

    def _result(self) -> dict[str, Any]:
        if accuracy := final_accuracy(self._trial, self._mode):
            found = {"accuracy": accuracy.mean, "half_width": accuracy.half_width}
            return {"percent": 100.0, **found, "done": True}
        lines = [self._obstacle] if self._obstacle else last_lines(self._trial.log, SHOWN_LINES)
        code = self._process.returncode if self._process else None
        if code is not None and code < 0:
            lines.append(f"ended by signal {-code}")
        return {**self._last, "failure": "\n".join(lines), "done": True}

    def cleanup(self) -> None:
        """Have the process save and end."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
