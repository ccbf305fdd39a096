"""Many small training runs side by side on the cores, each a process of its own.

A run of one task per outer step cannot use several cores; several runs can.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from supervised_reptile.config import EVALUATION, MEASURED, Config, fields_of
from supervised_reptile.errors import Interrupted, UserError
from supervised_reptile.flags import flags
from supervised_reptile.runs.read_run import METRICS, holds_run, read_evaluations, stored_evaluation
from supervised_reptile.system.folder_lock import lock, wait_until_free
from supervised_reptile.system.processes import last_lines, start_run
from supervised_reptile.system.progress_bar import Bar
from supervised_reptile.system.stop_signals import StopSignals

POLL_SECONDS = 0.5
SPLITS = ("train", "test")  # what a run on Omniglot without validation classes is evaluated on
# The data's default is another for `reptile omniglot` than for Config.
DATA_FIELD = "data_dir"
EVALUATION_FIELDS = fields_of(EVALUATION, MEASURED)


class Plan(NamedTuple):
    """A study of many runs, as it was asked for."""

    out: Path
    data_dir: str
    outer_steps: int  # of each run
    episodes: int  # for each accuracy at the end
    at_once: int  # runs


class Job(NamedTuple):
    """One run of `reptile omniglot`; config.checkpoint is its directory."""

    name: str
    config: Config

    @property
    def path(self) -> Path:
        """Its run directory."""
        return Path(self.config.checkpoint)

    @property
    def log(self) -> Path:
        """What it prints, beside its run directory."""
        return self.path.with_name(f"{self.path.name}.log")

    @property
    def evaluation(self) -> dict[str, Any]:
        """Its accuracies at the end, as results.json has them; empty without.

        Not those of other settings, which anybody may have added.
        """
        return stored_evaluation(self.config, SPLITS)

    @property
    def finished(self) -> bool:
        """Whether it was trained to its end and evaluated as `config` says."""
        return bool(self.evaluation)

    @property
    def trained(self) -> bool:
        """Whether it was trained to its end and evaluated, be it in other settings."""
        return any(
            evaluation["outer_steps"] == self.config.outer_steps
            for evaluation in read_evaluations(self.path)
        )

    @property
    def steps_done(self) -> int:
        """Outer steps up to the last logged evaluation."""
        if self.finished:
            return self.config.outer_steps
        last = "".join(last_lines(self.path / METRICS, 1))
        try:
            return json.loads(last)["step"] + 1
        except (ValueError, TypeError, KeyError):  # none yet, or half written
            return 0


def run_jobs(jobs: Sequence[Job], at_once: int) -> None:
    """Run what is not finished, `at_once` at a time, with a progress bar over all outer steps.

    All of `jobs` have their run directories in the same folder.

    Raises:
      UserError: some failed (the others were run), or another process is at work on them.
      Interrupted: SIGINT or SIGTERM came; the running ones have saved and continue next time.
    """
    bar = Bar(total=sum(job.config.outer_steps for job in jobs), unit="step", smoothing=0.05)
    with lock(jobs[0].path.parent), bar, StopSignals() as stop, ThreadPoolExecutor(at_once) as pool:
        futures = [pool.submit(_run, job, stop) for job in jobs if not job.finished]
        while not all(future.done() for future in futures):
            bar.update(sum(job.steps_done for job in jobs) - bar.n)
            time.sleep(POLL_SECONDS)
    if stop.received:
        raise Interrupted("Interrupted and saved; the same command continues.", stop.received)
    if failed := [str(error) for future in futures if (error := future.result())]:
        raise UserError("; ".join(failed))


def _run(job: Job, stop: StopSignals) -> UserError | None:
    """Train what is not trained, continuing what is there, and evaluate as asked."""
    try:
        wait_until_free(job.path)  # of a process that was killed and is about to save
        if not job.trained and holds_run(job.path):  # it is evaluated as it was started
            _call(job, [*flags(job.config, EVALUATION_FIELDS, (DATA_FIELD,)), "--resume"], stop)
        elif not job.trained:
            _call(job, flags(job.config, always=(DATA_FIELD,)), stop)
        if not job.finished:
            words = flags(job.config, always=(DATA_FIELD, *EVALUATION_FIELDS))
            _call(job, [*words, "--pretrained"], stop)
    except UserError as error:
        return error
    return None


def _call(job: Job, words: Sequence[str], stop: StopSignals) -> None:
    """Run `reptile omniglot WORDS...` to its end, or until a signal came, when it saves."""
    if stop.received:
        return
    process = start_run(["omniglot", *words], job.log)
    while process.poll() is None and not stop.received:
        time.sleep(POLL_SECONDS)
    process.terminate()
    if process.wait():
        last = "".join(last_lines(job.log, 1))
        raise UserError(f"{job.name} failed: {last} (all of it in {job.log})")
