"""Experiment: one run, from a request to results. What the run scripts and `sr.train` call."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import tensorflow as tf

from supervised_reptile.algorithms.execution import SideBySide, Stacked
from supervised_reptile.algorithms.image_feed import ImageFeed
from supervised_reptile.algorithms.inner_loop import InnerRule, Problem, summed_cross_entropy
from supervised_reptile.algorithms.learner import Learner
from supervised_reptile.algorithms.meta_batch import MetaBatch
from supervised_reptile.algorithms.workers import ONE_PROCESS, Workers
from supervised_reptile.analysis.learning_curves import plot_alignment, plot_learning_curve
from supervised_reptile.config import Config
from supervised_reptile.data.dataset import Dataset
from supervised_reptile.networks import conv4
from supervised_reptile.networks.conv4 import (
    ConvNet,
    Reading,
    encoder,
    grouping,
    initial_weights,
    logits,
    unpack,
)
from supervised_reptile.runs.read_only_run import AnyRun
from supervised_reptile.runs.read_run import Stored
from supervised_reptile.runs.run_dir import writing
from supervised_reptile.system.start_tensorflow import on_accelerator
from supervised_reptile.training.evaluation import (
    Accuracies,
    Evaluator,
    check_evaluation,
    evaluate_splits,
)
from supervised_reptile.training.loop import check_training, image_tasks, train
from supervised_reptile.training.monitor import Monitor
from supervised_reptile.training.open_run import (
    check_origin,
    check_workers_agree,
    how_to_go_on,
    load_images,
    open_directory,
)
from supervised_reptile.training.request import Callback, Request, resolve


def run_experiment(request: Request, workers: Workers = ONE_PROCESS) -> Accuracies:
    """Train, unless asked only to evaluate, then print, store and return accuracies.

    Raises:
      UserError: anything the user can mend: before training nothing was written, later nothing
        that a checkpoint has is lost.
      Interrupted: a signal stopped training, after a checkpoint.
    """
    with silent_unless(workers.rank == 0), open_experiment(request, workers) as experiment:
        if not experiment.config.pretrained:
            experiment.train(request.callbacks)
        with how_to_go_on(request):
            return experiment.evaluate()


class Experiment(NamedTuple):
    """A run that is open: everything that training and evaluation need."""

    config: Config
    dataset: Dataset
    feed: ImageFeed
    learner: Learner  # with the state of the run's newest checkpoint
    run: AnyRun

    def train(self, callbacks: Sequence[Callback] = ()) -> None:
        """Outer steps to the end of the run, then its learning curve."""
        config, dataset, feed, learner, run = self
        if run.step < config.outer_steps:
            print("Training...", flush=True)
            evaluator = Evaluator(config, dataset, feed, learner)
            task_source = image_tasks(config, dataset, feed, learner.workers)
            with Monitor(evaluator, run, callbacks) as monitor:
                train(config, task_source, learner, run, monitor)
        if learner.workers.rank:
            return
        with writing(run.path):
            plot_learning_curve(run.path)
            if config.log_alignment:
                plot_alignment(run.path)

    def evaluate(
        self, config: Config | None = None, splits: tuple[str, ...] | None = None
    ) -> Accuracies:
        """The accuracies, printed and stored.

        config: other settings of the evaluation than the run's; splits: others than it says.
        """
        evaluator = Evaluator(config or self.config, self.dataset, self.feed, self.learner)
        return evaluate_splits(evaluator, self.run, splits or evaluator.final_splits)


class Prepared(NamedTuple):
    """A run whose request was checked, before anything of it is written."""

    request: Request
    config: Config
    dataset: Dataset
    net: ConvNet
    stored: Stored  # what its directory will say


def prepare(request: Request) -> Prepared:
    """Load what was asked for and check that it goes together (UserError where it does not)."""
    request = resolve(request)
    config, dataset = load_images(request)
    if not config.pretrained:
        check_training(config, dataset)
    check_evaluation(config, dataset)
    source = request.source
    net = getattr(conv4, source.network)(dataset.image_shape, config.way)
    stored = Stored(config, net._asdict(), dataset.checksum, dataset.class_names, source.command)
    if request.origin:
        check_origin(request.origin, stored)
    return Prepared(request, config, dataset, net, stored)


@contextlib.contextmanager
def open_experiment(request: Request, workers: Workers = ONE_PROCESS) -> Iterator[Experiment]:
    """Everything that was asked for, loaded, checked and restored (UserError where it cannot)."""
    request, config, dataset, net, stored = prepare(request)
    check_workers_agree(workers, stored)
    feed = ImageFeed(dataset, encoder(net, len(dataset.images)))
    learner = make_learner(config, net, dataset.max_value, workers)
    with open_directory(request, stored, learner) as run:
        yield Experiment(config, dataset, feed, learner, run)


def make_learner(
    config: Config, net: ConvNet, max_value: int, workers: Workers = ONE_PROCESS
) -> Learner:
    """A learner of `net` with the initial weights of config.seed."""
    maml = config.algorithm == "maml"
    # XLA's stack of tasks cannot be differentiated; MAML's tasks run side by side everywhere.
    stacked = on_accelerator() and not maml
    reading = Reading(max_value, tf.as_dtype(config.precision), products=stacked)
    problem = Problem(
        predict=lambda weights, images: logits(net, unpack(net, weights), images, reading),
        loss=summed_cross_entropy,
        rule=InnerRule(config.inner_rate, config.sgd, config.weight_decay),
        grouping=grouping(net),
    )
    execution = Stacked() if stacked else SideBySide()
    meta_batch = MetaBatch(problem, config.task_order, maml, execution, workers)
    weights = initial_weights(net, config.seed)
    return Learner(meta_batch, weights, config.outer_optimizer, xla=stacked)


@contextlib.contextmanager
def silent_unless(first: bool) -> Iterator[None]:
    """Nothing is printed meanwhile by any worker but the first."""
    with contextlib.ExitStack() as stack:
        if not first:
            nothing = stack.enter_context(open(os.devnull, "w", encoding="utf8"))
            stack.enter_context(contextlib.redirect_stdout(nothing))
        yield
