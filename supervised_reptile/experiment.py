"""One experiment from configuration to results: what the run scripts and `reptile` call."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from supervised_reptile import models
from supervised_reptile.alignment_curves import plot_alignment
from supervised_reptile.config import EVALUATION, TRAINING, Config, differing_flags, fill_from
from supervised_reptile.data.dataset import Dataset
from supervised_reptile.errors import UserError
from supervised_reptile.feed import ImageFeed
from supervised_reptile.inner import InnerRule, Problem, summed_cross_entropy
from supervised_reptile.learner import Learner
from supervised_reptile.learning_curves import plot_learning_curve
from supervised_reptile.models import (
    ConvNet,
    Reading,
    encoder,
    grouping,
    initial_weights,
    logits,
    unpack,
)
from supervised_reptile.run_dir import RunDir, writing
from supervised_reptile.run_files import Stored, has_checkpoint, holds_run, read_stored
from supervised_reptile.runtime import on_accelerator
from supervised_reptile.scoring import Monitor, Scorer, check_evaluation, evaluate_splits
from supervised_reptile.sources import Source
from supervised_reptile.train import check_training, train


@dataclass(frozen=True)
class Request:
    """What the command line asked for."""

    config: Config
    explicit: frozenset[str]  # fields that were given, not defaulted
    source: Source
    resume: bool = False
    overwrite: bool = False


class Experiment(NamedTuple):
    """A run directory that is open, with all that training and evaluation need."""

    config: Config
    dataset: Dataset
    feed: ImageFeed
    learner: Learner  # with the state of the run's newest checkpoint
    run: RunDir


def run_experiment(request: Request) -> None:
    """Train, unless asked only to evaluate, then print and store accuracies.

    Raises:
      UserError: anything the user can mend; nothing was written or lost then.
      Interrupted: a signal stopped training, after a checkpoint.
    """
    with opened(request) as experiment:
        if not experiment.config.pretrained:
            train_run(experiment)
        evaluate_run(experiment, experiment.config)


@contextlib.contextmanager
def opened(request: Request) -> Iterator[Experiment]:
    """Everything that was asked for, loaded, checked and restored (UserError where it cannot)."""
    config = settle(request)
    dataset = request.source.load(config)
    if not config.pretrained:
        check_training(config, dataset)
    check_evaluation(config, dataset)
    net = getattr(models, request.source.network)(dataset.image_shape, config.way)
    path = Path(config.checkpoint)
    classes = {split: pool.names for split, pool in dataset.pools.items()}
    stored = Stored(config, net._asdict(), dataset.checksum, classes)
    if holds_run(path) and not request.overwrite:
        check_same(path, stored, same_data=request.resume)
    feed = ImageFeed(dataset, encoder(net, len(dataset.images)))
    learner = make_learner(config, net, dataset.max_value)
    with RunDir(path, stored, request.overwrite) as run:
        run.attach(learner)
        if config.pretrained and not has_checkpoint(path):
            raise UserError(f"{path}: the run in it has no checkpoint yet; continue with --resume")
        run.restore()
        yield Experiment(config, dataset, feed, learner, run)


def train_run(experiment: Experiment) -> None:
    """Outer steps to the end of the run, then its learning curve."""
    config, dataset, feed, learner, run = experiment
    print("Training...", flush=True)
    with Monitor(Scorer(config, dataset, feed, learner), run) as monitor:
        train(config, dataset, feed, learner, run, monitor)
    with writing(run.path):
        plot_learning_curve(run.path)
        if config.log_alignment:
            plot_alignment(run.path)


def evaluate_run(
    experiment: Experiment, config: Config, splits: tuple[str, ...] | None = None
) -> None:
    """Print and store the accuracies under `config`; of `splits`, else of config.eval_splits."""
    print("Evaluating...", flush=True)
    scorer = Scorer(config, experiment.dataset, experiment.feed, experiment.learner)
    evaluate_splits(scorer, experiment.run, splits or scorer.final_splits)


def settle(request: Request) -> Config:
    """The configuration to use: where a stored run is continued, its values for flags not given.

    Raises:
      UserError: the directory holds a run and nobody said what to do with it, or a given
        flag contradicts it.
    """
    config, path = request.config, Path(request.config.checkpoint)
    if not (request.resume or config.pretrained):
        if holds_run(path) and not request.overwrite:
            raise UserError(
                f"{path} holds a run already: give --resume to continue it, --pretrained to "
                "evaluate it, or --overwrite to start anew"
            )
        return config
    stored = read_stored(path).config
    roles = (TRAINING, EVALUATION) if request.resume else (TRAINING,)
    if differing := differing_flags(stored, config, request.explicit, roles):
        raise UserError(
            f"the flags contradict the run in {path}: {'; '.join(differing)}. "
            "Leave them out, or use another --checkpoint directory"
        )
    return fill_from(stored, config, request.explicit)


def check_same(path: Path, wanted: Stored, same_data: bool) -> None:
    """Refuse to put weights into another network, or to continue on other data (UserError)."""
    stored = read_stored(path)
    differing = [
        f"{name} is {stored.net.get(name)} there and {value} here"
        for name, value in wanted.net.items()
        if stored.net.get(name) != (list(value) if isinstance(value, tuple) else value)
    ]
    if differing:
        raise UserError(f"{path} holds weights of another architecture: {'; '.join(differing)}")
    if same_data and stored.data != wanted.data:
        raise UserError(f"the images are not those that the run in {path} was started with")
    if same_data and any(
        list(names) != stored.classes.get(split) for split, names in wanted.classes.items()
    ):
        raise UserError(f"the classes are not split as in the run in {path}")


def make_learner(config: Config, net: ConvNet, max_value: int) -> Learner:
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
        stacked=stacked,
        second_order=maml,
    )
    weights = initial_weights(net, config.seed)
    return Learner(problem, weights, config.task_order, config.outer_optimizer)
