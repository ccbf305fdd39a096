"""Accuracies of a learner on a data set's splits: during training, and at the end."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from supervised_reptile.algorithms.image_feed import ImageFeed, TaskBatch, prefetched
from supervised_reptile.algorithms.learner import Learner
from supervised_reptile.analysis.statistics import Accuracy, accuracy
from supervised_reptile.config import (
    ALL_SPLITS,
    EVALUATION,
    Config,
    fields_of,
    flag_of,
    transduction_modes,
)
from supervised_reptile.data.dataset import SPLIT_NAMES, Dataset, check_pool
from supervised_reptile.data.episodes import (
    Purpose,
    Stream,
    Tasks,
    TaskShape,
    check_batch,
    evaluation_tasks,
    sample_tasks,
)
from supervised_reptile.errors import Interrupted, UserError
from supervised_reptile.flags import flags
from supervised_reptile.runs import gradient_alignment
from supervised_reptile.runs.read_only_run import AnyRun
from supervised_reptile.runs.read_run import evaluation_settings
from supervised_reptile.system.machine import describe
from supervised_reptile.system.progress_bar import Bar
from supervised_reptile.system.stop_signals import StopSignals
from supervised_reptile.training.loop import PIXELS_PER_CALL
from supervised_reptile.training.monitor import monitoring_schedule

EPISODES_PER_CALL = 8, 64  # at least and at most
NOTHING_STORED = "Interrupted during evaluation; its results were not stored."
Accuracies = dict[str, dict[str, Accuracy]]  # by transduction mode and split


def evaluation_shape(config: Config, query_sets: int = 1) -> TaskShape:
    """How evaluation episodes are drawn: --shots for support, by default one query per class."""
    return TaskShape(
        config.way,
        config.shots,
        config.eval_steps,
        config.eval_batch,
        config.replacement,
        queries=query_sets,
    )


def episodes_per_call(shape: TaskShape, image_shape: tuple[int, int, int]) -> int:
    """How many episodes are evaluated between two chances to stop."""
    fewest, most = EPISODES_PER_CALL
    pixels = shape.steps * shape.batch * math.prod(image_shape)
    return min(most, max(fewest, PIXELS_PER_CALL // pixels))


def check_evaluation(config: Config, dataset: Dataset) -> None:
    """Refuse, before anything is written, episodes that the data cannot give (UserError)."""
    if config.eval_splits not in (ALL_SPLITS, *dataset.pools):
        raise UserError(
            f"{flag_of('eval_splits')} {config.eval_splits}: no {config.eval_splits} classes are "
            "held out of training"
        )
    shape = evaluation_shape(config)
    watched = () if config.pretrained else dataset.monitored
    for split in dict.fromkeys((*watched, *final_splits(config, dataset))):
        check_pool(dataset.pools[split], split, shape.way, shape.per_class)
    check_batch(shape, "--eval-batch")


def final_splits(config: Config, dataset: Dataset) -> tuple[str, ...]:
    """The splits whose accuracy is measured at the end."""
    chosen = config.eval_splits
    return tuple(s for s in SPLIT_NAMES if s in dataset.pools and chosen in (ALL_SPLITS, s))


class Evaluator:
    """Measures a learner's accuracy on episodes of any split of a data set."""

    def __init__(self, config: Config, dataset: Dataset, feed: ImageFeed, learner: Learner) -> None:
        self.config = config
        self.splits = {s: dataset.pools[s] for s in SPLIT_NAMES if s in dataset.pools}
        self.monitored = dataset.monitored
        self.final_splits = final_splits(config, dataset)
        self._image_shape = dataset.image_shape
        self._feed = feed
        self._learner = learner
        self.workers = learner.workers
        self.schedule = monitoring_schedule(config, dataset)
        self.interval = self.schedule.interval

    def monitor(self, step: int) -> dict[str, float]:
        """Accuracy on a few episodes of training and as many of held-out classes.

        Which episodes is a function of config.seed and `step`.
        """
        stream, plan = Stream(self.config.seed, Purpose.MONITOR), self.schedule
        shape = evaluation_shape(self.config, plan.query_sets)
        total = len(self.monitored) * plan.episodes
        episodes = [
            self._sample(split, shape, stream, step, range(i, i + plan.episodes))
            for i, split in zip(range(0, total, plan.episodes), self.monitored, strict=True)
        ]
        both = Tasks(*(np.concatenate(arrays) for arrays in zip(*episodes, strict=True)))
        mode = transduction_modes(self.config)[0]
        share = self.workers.share(total)
        own = Tasks(*(array[share.start : share.stop] for array in both))
        counts = self._count(self._feed(own) if share else None, total, (mode,))[mode]
        rates = counts.reshape(len(self.monitored), -1).mean(axis=1) / (
            self.config.way * plan.query_sets
        )
        return dict(zip(self.monitored, rates.tolist(), strict=True))

    def align(self, step: int) -> dict[str, float] | None:
        """How well gradients agree at the current weights: `gradient_alignment.summary`.

        Of tasks as in training, which are a function of config.seed and `step`. None without
        --log-alignment, and on all workers but the first, which logs it.
        """
        config = self.config
        if not config.log_alignment or self.workers.rank:
            return None
        stream = Stream(config.seed, Purpose.ALIGN)
        shape = TaskShape(config.way, config.task_shots, 2, config.inner_batch, config.replacement)
        tasks = self._sample("train", shape, stream, step, range(gradient_alignment.TASKS))
        return gradient_alignment.summary(self._learner.gradient_products(self._feed(tasks)))

    def count(self, split: str, query_sets: int = 1) -> dict[str, np.ndarray]:
        """Right answers in each of config.eval_episodes episodes, per transduction mode.

        Which episodes is a function of config.eval_seed and the split, so that runs compare.

        Raises:
          Interrupted: SIGINT or SIGTERM came.
        """
        modes = transduction_modes(self.config)
        shape = evaluation_shape(self.config, query_sets)
        total = self.config.eval_episodes
        size = self.workers.size * episodes_per_call(shape, self._image_shape)
        calls = (range(first, min(first + size, total)) for first in range(0, total, size))
        parts = []
        bar = Bar(total=total, desc=SPLIT_NAMES[split], unit="episode")

        def prepare(tasks: range) -> TaskBatch | None:
            share = self.workers.share(len(tasks))
            if not (own := tasks[share.start : share.stop]):
                return None
            pool, seed = self.splits[split], self.config.eval_seed
            return self._feed(evaluation_tasks(pool, shape, seed, split, own))

        with bar, StopSignals() as stop:
            for tasks, batch in prefetched(calls, prepare):
                parts.append(self._count(batch, len(tasks), modes))
                bar.update(len(tasks))
                if received := stop.received_by_any(self.workers.sum):
                    raise Interrupted(NOTHING_STORED, received)
        return {mode: np.concatenate([part[mode] for part in parts]) for mode in modes}

    def _count(
        self, own: TaskBatch | None, episodes: int, modes: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        """Right answers in each of `episodes`, of which this worker counts its `own` share."""
        counts = np.zeros((len(modes), episodes), np.int32)
        if own:
            share = self.workers.share(episodes)
            counted = self._learner.count_correct(own, modes)
            counts[:, share.start : share.stop] = [counted[mode] for mode in modes]
        return dict(zip(modes, self.workers.sum(counts), strict=True))

    def _sample(
        self, split: str, shape: TaskShape, stream: Stream, step: int, tasks: range
    ) -> Tasks:
        return sample_tasks(self.splits[split], shape, stream, range(step, step + 1), tasks)


def evaluate_splits(evaluator: Evaluator, run: AnyRun, splits: tuple[str, ...]) -> Accuracies:
    """Print the accuracy of each of `splits` as it comes, then store them in the run directory."""
    accuracies, correct = measure_splits(evaluator, splits)
    evaluation = {
        "settings": evaluation_settings(evaluator.config, splits),
        "accuracy": {
            mode: {split: value._asdict() for split, value in of_mode.items()}
            for mode, of_mode in accuracies.items()
        },
        "outer_steps": run.step,
        "training_seconds": round(run.training_seconds, 1),
        "environment": describe(),
    }
    run.write_results(evaluation, correct)
    return accuracies


def heading(config: Config) -> str:
    """What stands above accuracies: what is measured, and with which sizes."""
    modes = " and ".join(mode.replace("_", "-") for mode in transduction_modes(config))
    sizes = evaluation_flags(config, ("shots",))
    return f"Evaluating... {config.way}-way {config.shots}-shot, {modes} ({sizes})"


def evaluation_flags(config: Config, omit: tuple[str, ...] = ()) -> str:
    """The flags of all sizes of an evaluation but `omit`."""
    sizes = set(fields_of(EVALUATION, kind=type(config))) - set(omit)
    others = [f.name for f in dataclasses.fields(config) if f.name not in sizes]
    return " ".join(flags(config, omit=others, always=sizes))


def measure_splits(
    evaluator: Evaluator, splits: tuple[str, ...]
) -> tuple[Accuracies, dict[str, np.ndarray]]:
    """Print how accuracies are measured, and that of each of `splits` as it comes.

    Returns accuracies by transduction mode and split, and right answers per episode, int
    [episodes], by "<mode>_<split>".
    """
    config = evaluator.config
    modes = transduction_modes(config)
    accuracies: Accuracies = {mode: {} for mode in modes}
    correct = {}
    print(heading(config), flush=True)
    for split in splits:
        counts = evaluator.count(split)
        for mode in modes:
            result = accuracy(counts[mode], config.way)
            suffix = "" if mode == modes[0] else f", {mode.replace('_', '-')}"
            print(f"{SPLIT_NAMES[split]} accuracy{suffix}: {result}", flush=True)
            accuracies[mode][split] = result
            correct[f"{mode}_{split}"] = counts[mode]
    if config.eval_splits == ALL_SPLITS and "test" not in evaluator.splits:
        missing = [split for split in SPLIT_NAMES if split not in evaluator.splits]
        print(f"Not measured: {' and '.join(missing)} accuracy, no classes are held out for it")
    return accuracies, correct
