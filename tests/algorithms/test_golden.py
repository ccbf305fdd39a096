"""Trajectories recorded from the original program, replayed through the shipped code.

`$REPTILE_GOLDEN` names the folder of the recordings; its README says what is in them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import small_problem as small
import tensorflow as tf

from supervised_reptile.algorithms.evaluate import Episodes, query_scores
from supervised_reptile.algorithms.image_feed import TaskBatch
from supervised_reptile.algorithms.inner_loop import (
    Examples,
    InnerRule,
    InnerState,
    adapt,
    inner_step,
    look_up,
)
from supervised_reptile.algorithms.learner import Learner
from supervised_reptile.algorithms.meta_batch import MetaBatch
from supervised_reptile.config import NON_TRANSDUCTIVE, TRANSDUCTIVE
from supervised_reptile.data.episodes import Tasks
from supervised_reptile.networks.conv4 import ConvNet, encoder, miniimagenet_net, omniglot_net
from supervised_reptile.networks.weights import zeros_like

NAMES = (
    "omniglot_reptile_adam",
    "omniglot_reptile_sgd",
    "omniglot_reptile_adam_decay",
    "omniglot_reptile_replacement",
    "omniglot_foml_adam",
    "omniglot_foml_tail_sgd",
    "miniimagenet_reptile_adam",
    "miniimagenet_reptile_sgd",
)
META_BATCH = 2
OUTER_STEP_SIZE = 0.5


class Tolerance(NamedTuple):
    """How far a replay may be from its recording."""

    weights: float  # largest error
    way: float  # norm of the weights' error, relative to the way that they went
    moment: float  # norm of the error of Adam's moment, relative to the moment's
    logits: float  # largest error
    gradient: float  # largest error of the first gradient in float32, relative to the largest


OMNIGLOT = Tolerance(weights=1e-4, way=1e-3, moment=1e-3, logits=1e-3, gradient=1e-3)
# Rounding decides here and there which pixel is a max-pool's largest, and the weights take another
# way from there on. (One such pixel makes the 0.002 between the float32 and float64 gradients.)
MINIIMAGENET = Tolerance(weights=1e-3, way=0.1, moment=0.05, logits=0.25, gradient=5e-3)


class Golden:
    """One recording, in the terms of this package."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as arrays:
            self._arrays = dict(arrays)
        self.mini = path.stem.startswith("miniimagenet")
        self.foml = "foml" in path.stem
        images = self["images"] if self.mini else self["images"][..., None]
        network = miniimagenet_net if self.mini else omniglot_net
        self.net: ConvNet = network(images.shape[1:], 5)
        one = 255 if self.mini else 1
        encoded = encoder(self.net, len(images))(images, np.arange(len(images)))
        self.table = tuple(map(tf.constant, encoded))
        self.tolerance = MINIIMAGENET if self.mini else OMNIGLOT
        sgd = path.stem.endswith("sgd")
        decay = 0.9 if path.stem.endswith("decay") else 1.0
        rule = InnerRule(0.02 if sgd and not self.mini else 1e-3, sgd, decay)
        self.problem = small.classifier(rule, self.net, one)

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def flat(self, prefix: str) -> np.ndarray:
        """A value of every weight as float64 [P]; the convolutions' biases are left out."""
        keys = sorted(key for key in self._arrays if key.startswith(f"{prefix}/"))
        biases = keys[1 : 4 * self.net.blocks : 4]  # blocks are kernel, bias, gamma, beta
        kept = [self[key].ravel() for key in keys if key not in biases]
        return np.concatenate(kept).astype(np.float64)

    def batches(self, kind: str) -> Examples:
        return Examples(self[f"{kind}_image_ids"], self[f"{kind}_labels"])

    def tasks(self) -> Tasks:
        """The training tasks in their order, [outer steps * meta-batch, ...]."""
        outer_steps = 1 if self.mini else 2
        rows, labels = (
            array.reshape(outer_steps * META_BATCH, -1, array.shape[-1])
            for array in self.batches("train")
        )
        none = np.zeros((len(rows), 0), np.int32)
        inner, tail = [rows, labels], [none, none]
        if self.foml:
            inner, tail = [rows[:, :-1], labels[:, :-1]], [rows[:, -1], labels[:, -1]]
        return Tasks(*inner, *tail, none, none, none, none)


def golden_folder() -> Path:
    if not (folder := os.environ.get("REPTILE_GOLDEN")):
        pytest.skip("REPTILE_GOLDEN does not name a folder of recorded trajectories")
    return Path(folder)


@pytest.fixture(scope="module", params=NAMES)
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(golden_folder() / f"{request.param}.npz")


@pytest.fixture(scope="module")
def trained(golden: Golden) -> Learner:
    """A learner after the recorded outer steps."""
    learner = Learner(MetaBatch(golden.problem, "sequential"), golden.flat("init"))
    tasks = golden.tasks()
    sizes = np.full(len(tasks.rows) // META_BATCH, OUTER_STEP_SIZE)
    assert learner.train(TaskBatch(golden.table, tasks), sizes) == len(sizes)
    return learner


@pytest.fixture(scope="module")
def adapted(golden: Golden, trained: Learner) -> InnerState:
    """The state after the recorded episode's inner steps; Adam's is carried on."""
    run = tf.function(lambda state, batches: adapt(golden.problem, state, golden.table, batches))
    return run(trained.state, Examples(*map(tf.constant, golden.batches("adapt"))))


def test_every_recording_is_replayed() -> None:
    assert {path.stem for path in golden_folder().glob("*.npz")} == set(NAMES)


def test_weights(golden: Golden, trained: Learner) -> None:
    start, end = golden.flat("init"), golden.flat("trained")
    np.testing.assert_allclose(trained.weights, end, rtol=0, atol=golden.tolerance.weights)
    error, way = np.linalg.norm(trained.weights - end), np.linalg.norm(end - start)
    assert error <= golden.tolerance.way * way


def test_adams_state(golden: Golden, trained: Learner) -> None:
    assert trained.time.numpy() == len(golden["train_labels"])
    if golden.problem.rule.sgd:
        assert not np.any(trained.second_moment)
        return
    recorded = golden.flat("adam_v")
    error = np.linalg.norm(trained.second_moment - recorded)
    assert error <= golden.tolerance.moment * np.linalg.norm(recorded)


@pytest.mark.parametrize("mode", [TRANSDUCTIVE, NON_TRANSDUCTIVE])
def test_logits_of_an_episode(golden: Golden, adapted: InnerState, mode: str) -> None:
    episode = Episodes(
        golden.batches("adapt"),
        tf.constant(golden["support_image_ids"]),
        Examples(*(tf.constant(array[None]) for array in golden.batches("query"))),
    )
    (scores,) = query_scores(golden.problem, adapted.weights, golden.table, episode, (mode,))
    recorded = golden[f"{mode}_logits"]
    np.testing.assert_allclose(scores[0], recorded, rtol=0, atol=golden.tolerance.logits)
    assert np.ptp(recorded) > 3 * golden.tolerance.logits


def test_float32_gradients_are_those_of_float64(golden: Golden) -> None:
    """Of the first batch; later ones part where rounding flips a ReLU or an arg-max."""
    problem = golden.problem._replace(rule=InnerRule(1.0, sgd=True))
    rows, labels = (tf.constant(array[0]) for array in golden.batches("train"))

    @tf.function
    def gradient(weights: tf.Tensor) -> tf.Tensor:
        inputs = look_up(golden.table, rows, (weights,))
        groups = problem.grouping.split(weights)
        start = InnerState(groups, zeros_like(groups), tf.constant(0, tf.int64))
        moved = inner_step(problem, start, inputs, labels).weights
        return weights - problem.grouping.join(moved)

    exact = gradient(tf.constant(golden.flat("init"))).numpy()
    rounded = gradient(tf.constant(golden.flat("init"), tf.float32)).numpy()
    error = np.abs(rounded - exact).max()
    assert error <= golden.tolerance.gradient * np.abs(exact).max()
