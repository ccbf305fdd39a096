"""One experiment from configuration to results: what the run scripts and `reptile` call."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import tensorflow as tf

from supervised_reptile.algorithms.execution import SideBySide, Stacked
from supervised_reptile.algorithms.image_feed import ImageFeed
from supervised_reptile.algorithms.inner_loop import InnerRule, Problem, summed_cross_entropy
from supervised_reptile.algorithms.learner import Learner
from supervised_reptile.algorithms.meta_batch import MetaBatch
from supervised_reptile.algorithms.worker_group import ALONE, Group, group_of, lost_workers_named
from supervised_reptile.analysis.alignment_curves import plot_alignment
from supervised_reptile.analysis.learning_curves import plot_learning_curve
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
from supervised_reptile.runs.read_run import Stored
from supervised_reptile.runs.run_dir import writing
from supervised_reptile.system.start_tensorflow import on_accelerator
from supervised_reptile.training.evaluation import (
    Accuracies,
    AlignmentMonitor,
    Monitor,
    Scorer,
    check_evaluation,
    evaluate_splits,
)
from supervised_reptile.training.loop import check_training, image_supply, train
from supervised_reptile.training.open_run import (
    check_directory,
    how_to_go_on,
    load_settled,
    opened_run,
)
from supervised_reptile.training.request import Callback, Request
from supervised_reptile.training.shadow_run import AnyRun
from supervised_reptile.training.worker_agreement import (
    check_chiefs_data,
    silenced,
    take_chiefs,
    tell,
)


class Experiment(NamedTuple):
    """A run directory that is open, with all that training and evaluation need."""

    config: Config
    dataset: Dataset
    feed: ImageFeed
    learner: Learner  # with the state of the run's newest checkpoint
    run: AnyRun


def run_experiment(request: Request) -> Accuracies:
    """Train, unless asked only to evaluate, then print, store and return accuracies.

    Raises:
      UserError: anything the user can mend: before training nothing was written, later nothing
        that a checkpoint has is lost.
      Interrupted: a signal stopped training, after a checkpoint.
    """
    with lost_workers_named(request.cluster):
        group = group_of(request.cluster)
        with silenced(not group.is_chief), opened(request, group) as experiment:
            if not experiment.config.pretrained:
                train_run(experiment, request.callbacks)
            with how_to_go_on(request):
                accuracies = evaluate_run(experiment, experiment.config)
        group.maximum(0)  # a worker that ends early is reported as lost
    return accuracies


@contextlib.contextmanager
def opened(request: Request, group: Group = ALONE) -> Iterator[Experiment]:
    """Everything that was asked for, loaded, checked and restored (UserError where it cannot)."""
    if group.is_chief:
        config, dataset = load_settled(request)
        tell(config, group)
    else:
        config = take_chiefs(request.config, request.explicit, group)
        dataset = request.source.load(config)
    if not config.pretrained:
        check_training(config, dataset)
    check_evaluation(config, dataset)
    net = getattr(conv4, request.source.network)(dataset.image_shape, config.way)
    source = request.source
    stored = Stored(config, net._asdict(), dataset.checksum, dataset.class_names, source.command)
    if group.is_chief:
        check_directory(request, stored)
    check_chiefs_data(stored, group)
    feed = ImageFeed(dataset, encoder(net, len(dataset.images)))
    learner = make_learner(config, net, dataset.max_value, group)
    with opened_run(request, stored, learner) as run:
        yield Experiment(config, dataset, feed, learner, run)


def train_run(experiment: Experiment, callbacks: Sequence[Callback] = ()) -> None:
    """Outer steps to the end of the run, then its learning curve."""
    config, dataset, feed, learner, run = experiment
    if run.step < config.outer_steps:
        print("Training...", flush=True)
        watching = AlignmentMonitor if config.log_alignment else Monitor
        with watching(Scorer(config, dataset, feed, learner), run, callbacks) as monitor:
            train(config, image_supply(config, dataset, feed, learner.group), learner, run, monitor)
    if not learner.group.is_chief:
        return
    with writing(run.path):
        plot_learning_curve(run.path)
        if config.log_alignment:
            plot_alignment(run.path)


def evaluate_run(
    experiment: Experiment, config: Config, splits: tuple[str, ...] | None = None
) -> Accuracies:
    """The accuracies under `config`, printed and stored; of `splits`, else config.eval_splits."""
    scorer = Scorer(config, experiment.dataset, experiment.feed, experiment.learner)
    return evaluate_splits(scorer, experiment.run, splits or scorer.final_splits)


def make_learner(config: Config, net: ConvNet, max_value: int, group: Group = ALONE) -> Learner:
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
    meta_batch = MetaBatch(problem, config.task_order, maml, execution, group)
    weights = initial_weights(net, config.seed)
    return Learner(meta_batch, weights, config.outer_optimizer, xla=stacked)
