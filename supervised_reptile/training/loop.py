"""Meta-training: the paper's Algorithm 2, many outer steps per compiled call."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from supervised_reptile.algorithms.image_feed import Fed, ImageFeed, prefetched
from supervised_reptile.algorithms.learner import Learner
from supervised_reptile.algorithms.worker_group import ALONE, Group
from supervised_reptile.config import TAILED, Config, flag_of
from supervised_reptile.data.dataset import ClassPool, Dataset, check_pool
from supervised_reptile.data.episodes import (
    Purpose,
    Stream,
    Tasks,
    TaskShape,
    check_batch,
    foml_shape,
    sample_tasks,
)
from supervised_reptile.errors import Interrupted, UserError
from supervised_reptile.system.stop_signals import StopSignals

# Pixels that one compiled call may train on: seconds of work, so that Ctrl-C is heard soon.
PIXELS_PER_CALL = 20_000_000
# What second derivatives make of the time of a task with many inner steps, about.
MAML_SLOWER = 4


class Chunk(NamedTuple):
    """Outer steps start ... stop - 1, done in one compiled call."""

    start: int
    stop: int


class Run(Protocol):
    """Where the training is kept: see `run_dir.RunDir`."""

    path: Path
    training_seconds: float

    @property
    def step(self) -> int:
        """Outer steps done, as of the newest checkpoint."""
        ...

    def save(self, step: int) -> None:
        """Keep everything as it is after `step` outer steps."""


class Supply(NamedTuple):
    """Where training tasks come from."""

    prepare: Callable[[Chunk], Fed]  # the tasks of all its outer steps, meta-batch by meta-batch
    longest: int  # outer steps in one compiled call: short enough for Ctrl-C to be heard soon


class Watcher(Protocol):
    """Who follows the training."""

    interval: int  # outer steps from look to look

    def look(self, step: int) -> None:
        """Judge the weights after outer step `step`."""

    def progress(self, done: int) -> None:
        """Hear that `done` outer steps are done."""


def train(config: Config, supply: Supply, learner: Learner, run: Run, watcher: Watcher) -> None:
    """Outer steps from the run's newest checkpoint to config.outer_steps, with checkpoints.

    Args:
      watcher: told of every call's end; looks every `watcher.interval` steps from step 0 on,
        before a checkpoint at that step is written.

    Raises:
      Interrupted: SIGINT or SIGTERM came; the state was saved first.
      UserError: the loss diverged (the last checkpoint is from before), or saving failed.
    """
    stopping = 0
    chunks = plan_chunks(config, supply.longest, watcher.interval, run.step)
    with StopSignals() as stop:
        for chunk, fed in prefetched(chunks, supply.prepare):
            began = time.perf_counter()
            sizes = config.outer_step_size_at(np.arange(chunk.start, chunk.stop))
            sound = learner.train(fed, sizes)
            run.training_seconds += time.perf_counter() - began
            if sound < chunk.stop - chunk.start:
                raise diverged(chunk.start + sound, run)
            if (chunk.stop - 1) % watcher.interval == 0:
                watcher.look(chunk.stop - 1)
            watcher.progress(chunk.stop)
            stopping = learner.group.maximum(stop.received)  # read once: the next may come soon
            last = chunk.stop == config.outer_steps
            if last or stopping or chunk.stop % config.save_interval == 0:
                run.save(chunk.stop)
            if stopping:
                break
        stopping = stopping or learner.group.maximum(stop.received)
    if stopping:
        raise Interrupted(
            f"Interrupted; saved after outer step {run.step - 1}. "
            f"Continue with {flag_of('checkpoint', type(config))} {run.path} --resume",
            stopping,
        )


def task_shape(config: Config) -> TaskShape:
    """How training tasks are drawn and cut under `config`."""
    shape = TaskShape(
        config.way, config.task_shots, config.inner_steps, config.inner_batch, config.replacement
    )
    return foml_shape(shape, config.tail_shots) if config.algorithm in TAILED else shape


def check_training(config: Config, dataset: Dataset) -> None:
    """Refuse, before anything is written, tasks that the data cannot give (UserError)."""
    shape = task_shape(config)
    check_pool(dataset.pools["train"], "train", shape.way, shape.per_class)
    check_batch(shape, "--inner-batch")


def draw(
    config: Config, pool: ClassPool, shape: TaskShape, chunk: Chunk, tasks: range | None = None
) -> Tasks:
    """The tasks of all outer steps of `chunk`, meta-batch by meta-batch: all, or `tasks`."""
    stream = Stream(config.seed, Purpose.TRAIN)
    tasks = range(config.meta_batch) if tasks is None else tasks
    return sample_tasks(pool, shape, stream, range(chunk.start, chunk.stop), tasks)


def image_supply(config: Config, dataset: Dataset, feed: ImageFeed, group: Group = ALONE) -> Supply:
    """The tasks of classes of images; in a group, this worker's share of each meta-batch."""
    pool, shape = dataset.pools["train"], task_shape(config)
    tasks = group.share(config.meta_batch)

    def prepare(chunk: Chunk) -> Fed:
        return feed(draw(config, pool, shape, chunk, tasks))

    return Supply(prepare, longest_call(config, dataset.image_shape, group.size))


def longest_call(config: Config, image_shape: tuple[int, int, int], workers: int = 1) -> int:
    """Outer steps that one compiled call may do on images."""
    tasks = math.ceil(config.meta_batch / workers)
    images = tasks * config.inner_steps * config.inner_batch
    if config.algorithm == "maml":
        images *= MAML_SLOWER
    return max(1, min(100, PIXELS_PER_CALL // (images * math.prod(image_shape))))


def plan_chunks(
    config: Config, longest: int, look_interval: int, first_step: int
) -> Iterator[Chunk]:
    """Cut the outer steps into calls that end wherever something is to be done between steps.

    How they are cut has no influence on the weights.
    """
    start = first_step
    while start < config.outer_steps:
        to_look = 1 + -start % look_interval  # a look follows steps 0, interval, ...
        to_save = config.save_interval - start % config.save_interval
        stop = min(start + min(longest, to_look, to_save), config.outer_steps)
        yield Chunk(start, stop)
        start = stop


def diverged(step: int, run: Run) -> UserError:
    """The error of a run whose weights, or Adam's second moments, are not finite after `step`."""
    kept = f"; the last good checkpoint is kept in {run.path}" if run.step else ""
    return UserError(
        f"the loss diverged: weights or second moments are not finite after outer step {step}; "
        f"try a smaller --learning-rate or --meta-step{kept}"
    )
