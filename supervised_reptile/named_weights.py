"""`--pretrained NAME`: accuracies of weights that are in no run directory of ours."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from supervised_reptile import models
from supervised_reptile.config import TRAINING, Config
from supervised_reptile.data.dataset import Dataset
from supervised_reptile.experiment import make_learner
from supervised_reptile.export import open_snapshot
from supervised_reptile.feed import ImageFeed
from supervised_reptile.learner import Learner
from supervised_reptile.models import encoder
from supervised_reptile.opening import (
    check_architecture,
    same_split,
    settle_with,
    tell_what_was_taken,
)
from supervised_reptile.request import Request
from supervised_reptile.resources import PRETRAINED
from supervised_reptile.run_files import holds_run, read_stored
from supervised_reptile.scoring import Scorer, check_evaluation, measure_splits
from supervised_reptile.snapshot import Snapshot, flat


def run_experiment(request: Request) -> None:
    """Print accuracies of the weights `request.config.pretrained`; nothing is stored.

    Flags that were not given are those that the weights were trained and evaluated with.

    Raises:
      UserError: the weights or data cannot be read, or do not go together.
      Interrupted: a signal came.
    """
    name = str(request.config.pretrained)
    snapshot = open_snapshot(name)
    config = _settle(request, snapshot)
    dataset = request.source.load(config)
    check_evaluation(config, dataset)
    net = getattr(models, request.source.network)(dataset.image_shape, config.way)
    check_architecture(name, snapshot.net, net._asdict())
    for message in _differences(name, dataset, snapshot):
        print(f"Note: {message}", file=sys.stderr)
    learner = make_learner(config, net, dataset.max_value)
    load_snapshot(learner, snapshot)
    feed = ImageFeed(dataset, encoder(net, len(dataset.images)))
    tell_what_was_taken(request, config)
    print("Evaluating...", flush=True)
    scorer = Scorer(config, dataset, feed, learner)
    measure_splits(scorer, scorer.final_splits)


def _differences(name: str, dataset: Dataset, snapshot: Snapshot) -> Iterator[str]:
    """How these data differ from those that the weights `name` were trained on, in sentences."""
    if dataset.checksum != snapshot.data:
        yield f"these are not the images that {name} was trained on"
    run = Path(name)
    if name in PRETRAINED or not holds_run(run):
        return
    if not same_split(read_stored(run).classes, dataset.class_names):
        yield f"the classes are not split as for {name}, which may have trained on some of these"


def _settle(request: Request, snapshot: Snapshot) -> Config:
    config = settle_with(snapshot.config, request, (TRAINING,), str(request.config.pretrained))
    # Where the images are is nothing that a snapshot remembers.
    return dataclasses.replace(config, data_dir=request.config.data_dir)


def load_snapshot(learner: Learner, snapshot: Snapshot) -> None:
    """Put the snapshot's weights, second moments and time into a learner of its network."""
    learner.weights.assign(flat(snapshot.weights))
    learner.second_moment.assign(flat(snapshot.second_moment))
    learner.time.assign(np.int64(snapshot.time))
