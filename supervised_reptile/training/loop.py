"""Meta-training: the paper's Algorithm 2, many outer steps per compiled call."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from supervised_reptile.algorithms.image_feed import ImageFeed, TaskBatch, prefetched
from supervised_reptile.algorithms.learner import Learner
from supervised_reptile.algorithms.workers import ONE_PROCESS, Workers
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
from supervised_reptile.runs.read_only_run import AnyRun
from supervised_reptile.system.stop_signals import StopSignals
from supervised_reptile.training.monitor import Monitor

# Pixels that one compiled call may adapt to: seconds of work, so that Ctrl-C is heard soon.
PIXELS_PER_CALL = 20_000_000
# What second derivatives make of the time of a task with many inner steps, about.
MAML_SLOWER = 4


class Chunk(NamedTuple):
    """Outer steps start ... stop - 1, done in one compiled call."""

    start: int
    stop: int


class TaskSource(NamedTuple):
    """Where training tasks come from."""

    prepare: Callable[
        [Chunk], TaskBatch
    ]  # the tasks of all its outer steps, meta-batch by meta-batch
    longest: int  # outer steps in one compiled call: short enough for Ctrl-C to be heard soon


def train(
    config: Config, task_source: TaskSource, learner: Learner, run: AnyRun, monitor: Monitor
) -> None:
    """Outer steps from the run's newest checkpoint to config.outer_steps, with checkpoints.

    Args:
      monitor: evaluates every `monitor.interval` steps from step 0 on, before a checkpoint at that
        step is written.

    Raises:
      Interrupted: SIGINT or SIGTERM came; the state was saved first.
      UserError: the loss diverged (the last checkpoint is from before), or saving failed.
    """
    stopping = 0
    chunks = plan_chunks(config, task_source.longest, monitor.interval, run.step)
    with StopSignals() as stop:
        for chunk, batch in prefetched(chunks, task_source.prepare):
            began = time.perf_counter()
            sizes = config.outer_step_size_at(np.arange(chunk.start, chunk.stop))
            finite = learner.train(batch, sizes)
            run.training_seconds += time.perf_counter() - began
            if finite < chunk.stop - chunk.start:
                raise diverged(chunk.start + finite, run)
            if (chunk.stop - 1) % monitor.interval == 0:
                monitor.evaluate(chunk.stop - 1)
            monitor.progress(chunk.stop)
            # Asked once: the next signal may come soon.
            stopping = stop.received_by_any(learner.workers.sum)
            last = chunk.stop == config.outer_steps
            if last or stopping or chunk.stop % config.save_interval == 0:
                run.save(chunk.stop)
            if stopping:
                break
        stopping = stopping or stop.received_by_any(learner.workers.sum)
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


def image_tasks(
    config: Config, dataset: Dataset, feed: ImageFeed, workers: Workers = ONE_PROCESS
) -> TaskSource:
    """The tasks of classes of images; this worker's share of each meta-batch."""
    pool, shape = dataset.pools["train"], task_shape(config)
    tasks = workers.share(config.meta_batch)

    def prepare(chunk: Chunk) -> TaskBatch:
        return feed(draw(config, pool, shape, chunk, tasks))

    return TaskSource(prepare, longest_call(config, dataset.image_shape, workers.size))


def longest_call(config: Config, image_shape: tuple[int, int, int], workers: int = 1) -> int:
    """Outer steps that one compiled call may do on images."""
    tasks = math.ceil(config.meta_batch / workers)
    images = tasks * config.inner_steps * config.inner_batch
    if config.algorithm == "maml":
        images *= MAML_SLOWER
    return max(1, min(100, PIXELS_PER_CALL // (images * math.prod(image_shape))))


def plan_chunks(
    config: Config, longest: int, monitor_interval: int, first_step: int
) -> Iterator[Chunk]:
    """Cut the outer steps into calls that end wherever something is to be done between steps.

    How they are cut has no influence on the weights.
    """
    start = first_step
    while start < config.outer_steps:
        to_evaluate = 1 + -start % monitor_interval  # after steps 0, interval, ...
        to_save = config.save_interval - start % config.save_interval
        stop = min(start + min(longest, to_evaluate, to_save), config.outer_steps)
        yield Chunk(start, stop)
        start = stop


def diverged(step: int, run: AnyRun) -> UserError:
    """The error of a run whose weights, or Adam's second moments, are not finite after `step`."""
    kept = f"; the last good checkpoint is kept in {run.path}" if run.step else ""
    return UserError(
        f"the loss diverged: weights or second moments are not finite after outer step {step}; "
        f"try a smaller --learning-rate or --meta-step{kept}"
    )
