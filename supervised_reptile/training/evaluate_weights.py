"""`--pretrained NAME`: accuracies of weights that are in no run directory of ours."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from supervised_reptile.algorithms.image_feed import ImageFeed
from supervised_reptile.algorithms.learner import Learner
from supervised_reptile.config import EVALUATED_BY_NAME, fill_from
from supervised_reptile.networks import conv4
from supervised_reptile.networks.conv4 import encoder
from supervised_reptile.runs.open_weights import open_snapshot
from supervised_reptile.runs.read_run import Stored, holds_run, read_stored
from supervised_reptile.runs.snapshot import Snapshot, flat
from supervised_reptile.system.package_files import PRETRAINED
from supervised_reptile.training.evaluation import (
    Accuracies,
    Scorer,
    check_evaluation,
    measure_splits,
)
from supervised_reptile.training.experiment import make_learner
from supervised_reptile.training.open_run import (
    check_architecture,
    how_to_go_on,
    load_as_stored,
    same_split,
)
from supervised_reptile.training.request import Request, check_command, check_flags


def run_experiment(request: Request) -> Accuracies:
    """Print and return accuracies of the weights `request.config.pretrained`; nothing is stored.

    Flags that were not given are those that the weights were trained and evaluated with, but for
    those that say what is measured.

    Raises:
      UserError: the weights or data cannot be read, or do not go together.
      Interrupted: a signal came.
    """
    name = str(request.config.pretrained)
    snapshot = open_snapshot(name)
    stored = _stored(name, snapshot)
    check_command(name, stored, request.source, by_name=True)
    check_flags(snapshot.config, request, snapshot.outer_steps, name)
    config = fill_from(snapshot.config, request.config, request.explicit, EVALUATED_BY_NAME)
    config, dataset = load_as_stored(request, config, stored)
    check_evaluation(config, dataset)
    net = getattr(conv4, request.source.network)(dataset.image_shape, config.way)
    check_architecture(name, snapshot.net, net._asdict())
    if dataset.checksum != snapshot.data:
        _note(f"these are not the images that {name} was trained on")
    if stored.classes and not same_split(stored.classes, dataset.class_names):
        _note(f"the classes are not split as for {name}, which may have trained on some of these")
    learner = make_learner(config, net, dataset.max_value)
    load_snapshot(learner, snapshot)
    feed = ImageFeed(dataset, encoder(net, len(dataset.images)))
    scorer = Scorer(config, dataset, feed, learner)
    with how_to_go_on(request):
        return measure_splits(scorer, scorer.final_splits)[0]


def _stored(name: str, snapshot: Snapshot) -> Stored:
    """What is known of the run behind the weights `name`; no classes if they are in no run."""
    if name not in PRETRAINED and holds_run(run := Path(name)):
        return read_stored(run)
    return Stored(snapshot.config, snapshot.net, snapshot.data, {})


def _note(message: str) -> None:
    print(f"Note: {message}", file=sys.stderr)


def load_snapshot(learner: Learner, snapshot: Snapshot) -> None:
    """Put the snapshot's weights, second moments and time into a learner of its network."""
    learner.weights.assign(flat(snapshot.weights))
    learner.second_moment.assign(flat(snapshot.second_moment))
    learner.time.assign(np.int64(snapshot.time))
