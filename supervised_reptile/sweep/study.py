"""The trials of a sweep in Optuna's journal: what was asked, what was answered, what is next.

The journal is written before a trial starts and after it ended, and flushed to the disk, so a
sweep that is killed at any moment knows its trials when it continues. What a search asks next
depends on the seed, the number of the trial and the answers so far, never on interruptions.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from supervised_reptile.errors import UserError
from supervised_reptile.sweep.dimensions import Choices, Dimension
from supervised_reptile.sweep.identity import REMEDY, as_json, check_space
from supervised_reptile.sweep.space import Point, Space
from supervised_reptile.sweep.trials import SWEEP, holds_sweep
from supervised_reptile.system.atomic_files import reading, write_json, writing

JOURNAL = "study.journal"
NAME = "sweep"


class Asked(NamedTuple):
    """A trial as the journal has it."""

    number: int
    point: Point
    value: float | None  # its objective, once it ended


class Study:
    """The search of a sweep that lies in a directory."""

    def __init__(self, out: Path, space: Space) -> None:
        """Open the sweep in `out`, or start it there.

        Raises:
          UserError: it cannot be written, or is one of another space.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._distributions = {n: _distribution(d) for n, d in space.dimensions.items()}
        new = not holds_sweep(out)
        with writing(out):
            out.mkdir(parents=True, exist_ok=True)
            if not new and not (out / JOURNAL).exists():
                raise UserError(f"{out / JOURNAL}: missing; {REMEDY}")
            if new:
                (out / JOURNAL).unlink(missing_ok=True)
        with reading(out / JOURNAL, REMEDY):
            storage = JournalStorage(JournalFileBackend(str(out / JOURNAL)))
            self._study = optuna.create_study(
                storage=storage, study_name=NAME, direction="maximize", load_if_exists=True
            )
        if new:
            for point in _planned(space):
                self._study.enqueue_trial(dict(point))
            with writing(out):
                write_json(out / SWEEP, as_json(space))
        else:
            check_space(out, space)
        self._mend()

    def _mend(self) -> None:
        """Put planned points back that were being asked for when the sweep was killed."""
        for trial in self._study.get_trials(states=(TrialState.RUNNING,)):
            if set(trial.params) != set(self._distributions):
                self._study.tell(trial.number, state=TrialState.FAIL)
                if planned := trial.system_attrs.get("fixed_params"):
                    self._study.enqueue_trial(planned)

    @property
    def trials(self) -> list[Asked]:
        """All that were asked for, in their order."""
        return [
            Asked(trial.number, dict(trial.params), trial.value)
            for trial in self._study.get_trials(deepcopy=False)
            if trial.state in (TrialState.RUNNING, TrialState.COMPLETE)
        ]

    def ask(self) -> Asked:
        """The next trial."""
        number = len(self._study.get_trials(deepcopy=False))
        self._study.sampler = _sampler(self._space, number)
        trial = self._study.ask(dict(self._distributions))
        return Asked(trial.number, dict(trial.params), None)

    def tell(self, number: int, value: float | None) -> None:
        """The objective of a trial that ended; None where it has none."""
        self._study.tell(number, value)


def _planned(space: Space) -> list[Point]:
    """What is tried in any case: all of a grid, or the first points."""
    if space.method != "grid":
        return list(space.first)
    lists = [d.values for d in space.dimensions.values() if isinstance(d, Choices)]
    return [dict(zip(space.dimensions, v, strict=True)) for v in itertools.product(*lists)]


def _distribution(dimension: Dimension) -> BaseDistribution:
    if isinstance(dimension, Choices):
        return CategoricalDistribution(dimension.values)
    low, high, log, integer = dimension
    if integer:
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(low, high, log=log)


def _sampler(space: Space, number: int) -> optuna.samplers.BaseSampler:
    """The search, seeded for trial `number`."""
    seed = int(np.random.SeedSequence([space.seed, number]).generate_state(1)[0])
    if space.method == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    if space.method == "cma-es":
        return optuna.samplers.CmaEsSampler(seed=seed)
    return optuna.samplers.RandomSampler(seed=seed)
