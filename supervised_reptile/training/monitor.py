"""Monitoring: how often training evaluates, on how many episodes, and who hears of it.

The original evaluates every --eval-interval outer steps on one episode with one query per class;
adapting to those episodes is up to a third of all its work. Here several evaluations become one,
on episodes with several query sets: one adaptation is then measured several times. Query sets of
an episode are nearly independent, so that fewer adaptations tell as much.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from supervised_reptile.config import Config
from supervised_reptile.data.dataset import Dataset
from supervised_reptile.runs.read_only_run import AnyRun
from supervised_reptile.system.progress_bar import Bar
from supervised_reptile.training.request import Callback

MIN_EVALUATIONS = 50  # in a run, if --eval-interval asks for that many
MAX_JOINED = 12  # evaluations of the original that become one
MAX_QUERY_SETS = 8
# Between the accuracies on two query sets of an episode; measured on Omniglot, 5-way 5-shot
# transductive (benchmarks/monitoring.py): what makes eight sets worth 4.2 episodes.
CORRELATION = 0.13
RUNNING = 50  # evaluations that the accuracies on the progress bar are a mean of, about


class MonitoringSchedule(NamedTuple):
    """How training evaluates."""

    interval: int  # outer steps between evaluations
    episodes: int  # of each monitored split, at each evaluation
    query_sets: int  # of one query per class, for each episode


def monitoring_schedule(config: Config, dataset: Dataset) -> MonitoringSchedule:
    """What config.look_episodes says, or else as precise as one episode every eval_interval.

    Runs with fewer than twice MIN_EVALUATIONS then get just that.
    """
    if config.look_episodes:
        query_sets = _most_query_sets(config, dataset)
        return MonitoringSchedule(config.eval_interval, config.look_episodes, query_sets)
    joined = config.outer_steps // (config.eval_interval * MIN_EVALUATIONS)
    if joined <= 1:
        return MonitoringSchedule(config.eval_interval, 1, 1)
    joined = min(joined, MAX_JOINED)
    query_sets = _most_query_sets(config, dataset)
    episodes = math.ceil(joined / worth(query_sets))
    return MonitoringSchedule(config.eval_interval * joined, episodes, query_sets)


def _most_query_sets(config: Config, dataset: Dataset) -> int:
    """MAX_QUERY_SETS, or as many as the classes have examples for beside the support set."""
    pools = (dataset.pools[split] for split in dataset.monitored)
    examples = min(int(pool.counts.min()) for pool in pools)
    return max(1, min(MAX_QUERY_SETS, examples - config.shots))


def worth(query_sets: int) -> float:
    """How many episodes with one query set an episode with `query_sets` is worth.

    The effective size of a sample of that many with correlation CORRELATION between any two.
    """
    return query_sets / (1 + (query_sets - 1) * CORRELATION)


class Evaluator(Protocol):
    """What a monitor asks."""

    interval: int  # outer steps between evaluations

    @property
    def config(self) -> Config: ...

    def monitor(self, step: int) -> dict[str, float]:
        """The numbers to be logged after outer step `step`."""
        ...

    def align(self, step: int) -> dict[str, float] | None:
        """How well gradients agree, with --log-alignment on the worker that logs it."""
        ...


class Monitor:
    """Evaluates during training: progress bar, metrics, the original's lines, callbacks."""

    def __init__(
        self, evaluator: Evaluator, run: AnyRun, callbacks: Sequence[Callback] = ()
    ) -> None:
        self._evaluator = evaluator
        self._run = run
        self._callbacks = callbacks
        self.interval = evaluator.interval
        self._means: dict[str, float] = {}
        self._evaluations = 0

    def __enter__(self) -> Monitor:
        total = self._evaluator.config.outer_steps
        self._bar = Bar(total=total, initial=self._run.step, unit="step", smoothing=0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def progress(self, done: int) -> None:
        """Tell the progress bar that `done` outer steps are done."""
        self._bar.update(done - self._bar.n)

    def evaluate(self, step: int) -> None:
        """Measure, log and show the accuracies after outer step `step`."""
        accuracies = self._evaluator.monitor(step)
        self._run.log(step, accuracies)
        self.show(step, accuracies)
        for callback in self._callbacks:
            callback(step, accuracies)
        if alignment := self._evaluator.align(step):
            self._run.log_alignment(step, alignment)

    def show(self, step: int, accuracies: Mapping[str, float]) -> None:
        """Print a line unless a terminal shows the progress bar, which has running means."""
        if self._bar.disable or not sys.stdout.isatty():
            texts = " ".join(f"{split}={value:f}" for split, value in accuracies.items())
            print(f"batch {step}: {texts}", flush=True)
        self._evaluations += 1
        share = 1 / min(self._evaluations, RUNNING)
        for split, value in accuracies.items():
            past = self._means.get(split, 0.0)
            self._means[split] = past + share * (value - past)
        shown = {split: f"{mean:.3f}" for split, mean in self._means.items()}
        self._bar.set_postfix(shown, refresh=False)
