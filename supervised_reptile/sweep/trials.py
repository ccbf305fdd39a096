"""One trial of a sweep: an ordinary run, and what its directory tells of it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from supervised_reptile.analysis.statistics import Accuracy
from supervised_reptile.config import Config
from supervised_reptile.runs.read_run import METRICS, read_metrics, stored_evaluation
from supervised_reptile.sweep.space import Point, Space, configuration, data_words

SWEEP = "sweep.json"  # the space of the sweep in a folder
SPLIT = "val"  # whose accuracy chooses
# What of the looks so far the accuracy during training is a mean of: single ones are a few
# episodes, early ones are of other weights.
RECENT = 0.5


class Plan(NamedTuple):
    """What was asked for. Paths are absolute: trials may run anywhere."""

    space: Space
    data_dir: str
    out: Path
    trials: int
    jobs: int | None  # at once; None: as many as the cluster has room for
    threads: int  # of each trial
    gpus: float  # of each trial
    address: str | None  # of a Ray cluster


class Trial(NamedTuple):
    """A point of the space and the run that tries it."""

    number: int
    point: Point
    path: Path  # run directory
    words: tuple[str, ...]  # the command line, but for --resume
    config: Config

    @property
    def log(self) -> Path:
        """What it prints, beside its run directory."""
        return self.path.with_name(f"{self.path.name}.log")


class Look(NamedTuple):
    """How far a run was, and how good."""

    steps: int  # outer steps behind it
    accuracy: float  # on validation classes, mean over the recent looks


def holds_sweep(out: Path) -> bool:
    """Whether a sweep was started in `out`."""
    return (out / SWEEP).exists()


def make_trial(plan: Plan, number: int, point: Point) -> Trial:
    """Trial `number` of the sweep."""
    space, path = plan.space, plan.out / "trials" / f"{number:03d}"
    place = ["--checkpoint", str(path), "--threads", str(plan.threads), "--eval-splits", SPLIT]
    flags = [*space.words(point), *place]
    config = configuration(space.command, flags, plan.data_dir)
    words = (space.command, *data_words(space.command, plan.data_dir), *flags)
    return Trial(number, point, path, words, config)


def read_looks(path: Path) -> list[Look]:
    """What training has seen of validation classes so far, in the run at `path`; maybe nothing."""
    if not (path / METRICS).exists():
        return []
    metrics = read_metrics(path)
    if SPLIT not in metrics:
        return []
    steps, accuracies = metrics["step"] + 1, metrics[SPLIT]
    first = np.searchsorted(steps, (1 - RECENT) * steps)
    return [
        Look(int(s), float(accuracies[f : i + 1].mean()))
        for i, (s, f) in enumerate(zip(steps, first, strict=True))
    ]


def final_accuracy(trial: Trial, mode: str) -> Accuracy | None:
    """The accuracy after all outer steps, if the trial was trained and evaluated to its end.

    Not that of other settings or classes, on which anybody may have evaluated it since.
    """
    evaluation = stored_evaluation(trial.config, (SPLIT,))
    return Accuracy(**evaluation["accuracy"][mode][SPLIT]) if evaluation else None
