"""Many small training runs side by side on the cores, each a process of its own.

A run of one task per outer step cannot use several cores; several runs can.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from supervised_reptile.command_lines import flags
from supervised_reptile.config import EVALUATION, MEASURED, Config, fields_of
from supervised_reptile.errors import Interrupted, UserError
from supervised_reptile.locks import lock, wait_until_free
from supervised_reptile.processes import last_lines, start_run
from supervised_reptile.progress import Bar
from supervised_reptile.run_files import METRICS, holds_run, read_evaluations, stored_evaluation
from supervised_reptile.signals import StopSignals

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
        """Outer steps up to the last look that it wrote down."""
        if self.finished:
            return self.config.outer_steps
        last = "".join(last_lines(self.path / METRICS, 1))
        try:
            return json.loads(last)["step"] + 1
        except (ValueError, TypeError, KeyError):  # none yet, or half written
            return 0


class _Running(NamedTuple):
    job: Job
    evaluates: bool  # and does not train
    process: subprocess.Popen
    log: IO[bytes]


def run_jobs(jobs: Sequence[Job], at_once: int) -> None:
    """Run what is not finished, `at_once` at a time, with a progress bar over all outer steps.

    All of `jobs` have their run directories in the same folder.

    Raises:
      UserError: some failed (the others were run), or another process is at work on them.
      Interrupted: SIGINT or SIGTERM came; the running ones have saved and continue next time.
    """
    waiting = [job for job in jobs if not job.finished]
    running: list[_Running] = []
    failed: list[str] = []
    total = sum(job.config.outer_steps for job in jobs)
    bar = Bar(total=total, unit="step", smoothing=0.05)
    with lock(jobs[0].path.parent), bar, StopSignals() as stop:
        while (waiting or running) and not stop.received:
            while waiting and len(running) < at_once:
                running.append(_start(waiting.pop(0)))
            bar.set_postfix_str(", ".join(each.job.name for each in running), refresh=False)
            bar.update(sum(job.steps_done for job in jobs) - bar.n)
            time.sleep(POLL_SECONDS)
            failed += _ended(running, waiting)
        _end(running)
    if stop.received:
        raise Interrupted("Interrupted and saved; the same command continues.", stop.received)
    if failed:
        raise UserError("; ".join(failed))


def _start(job: Job) -> _Running:
    wait_until_free(job.path)  # of an earlier process that was killed, it may be about to save
    evaluates = job.trained
    if evaluates:
        words = [*flags(job.config, always=(DATA_FIELD, *EVALUATION_FIELDS)), "--pretrained"]
    elif holds_run(job.path):  # which is evaluated as it was started; if need be, again after that
        words = [*flags(job.config, EVALUATION_FIELDS, always=(DATA_FIELD,)), "--resume"]
    else:
        words = flags(job.config, always=(DATA_FIELD,))
    return _Running(job, evaluates, *start_run(["omniglot", *words], job.log))


def _ended(running: list[_Running], waiting: list[Job]) -> Iterator[str]:
    """Take out of `running` what has ended; a sentence for each that failed.

    What was trained but has another evaluation than it should goes back to `waiting`.
    """
    for each in [each for each in running if each.process.poll() is not None]:
        running.remove(each)
        each.log.close()
        if each.process.returncode:
            last = "".join(last_lines(each.job.log, 1))
            yield f"{each.job.name} failed: {last} (all of it in {each.job.log})"
        elif each.job.trained and not each.job.finished and not each.evaluates:
            waiting.append(each.job)
        elif not each.job.finished:
            yield f"{each.job.name} failed: it has not been evaluated as asked (see {each.job.log})"


def _end(running: Sequence[_Running]) -> None:
    """Have all of `running` save and stop."""
    for each in running:
        each.process.terminate()
    for each in running:
        each.process.wait()
        each.log.close()
