"""A classification problem so small that slow and obvious code can check the fast code.

Import it before TensorFlow: it starts TensorFlow as the programs do.
"""

from __future__ import annotations

import json
from functools import partial

import numpy as np

from supervised_reptile.system.start_tensorflow import start_tensorflow

start_tensorflow()

import tensorflow as tf  # noqa: E402

from supervised_reptile.algorithms.execution import Stacked  # noqa: E402
from supervised_reptile.algorithms.image_feed import TaskBatch  # noqa: E402
from supervised_reptile.algorithms.inner_loop import (  # noqa: E402
    InnerRule,
    InnerState,
    Problem,
    summed_cross_entropy,
)
from supervised_reptile.algorithms.learner import Learner  # noqa: E402
from supervised_reptile.algorithms.meta_batch import MetaBatch  # noqa: E402
from supervised_reptile.algorithms.workers import ONE_PROCESS, Workers  # noqa: E402
from supervised_reptile.config import Config  # noqa: E402
from supervised_reptile.data.dataset import ClassPool, Dataset  # noqa: E402
from supervised_reptile.data.episodes import (  # noqa: E402
    Purpose,
    Stream,
    Tasks,
    TaskShape,
    foml_shape,
    sample_tasks,
)
from supervised_reptile.networks.conv4 import (  # noqa: E402
    ConvNet,
    Reading,
    encoder,
    grouping,
    initial_weights,
    logits,
    unpack,
)
from supervised_reptile.runs.checkpoint_snapshot import named_parts  # noqa: E402
from supervised_reptile.runs.snapshot import Snapshot  # noqa: E402

RATE = 0.01
NET = ConvNet((8, 8, 1), way=3, filters=4, pooling=False, blocks=2)
MAX_VALUE = 255
POOL = ClassPool(np.arange(6) * 7, np.full(6, 7), tuple("abcdef"))
REPTILE = TaskShape(way=3, shots=4, steps=3, batch=5)
ALGORITHMS = {
    "reptile": REPTILE,
    "joint": REPTILE._replace(steps=1),
    "foml": foml_shape(REPTILE, None),
    "foml with a tail of its own": foml_shape(REPTILE, 2),
}
ADAM, SGD = InnerRule(RATE), InnerRule(0.02, sgd=True)


def small_images() -> np.ndarray:
    """Uint8 [42, 8, 8, 1]: six classes of seven noisy copies of a random picture."""
    random = np.random.default_rng(0)
    pictures = random.integers(0, 156, (6, 1, *NET.image_shape))
    noise = random.integers(0, 100, (6, 7, *NET.image_shape))
    return (pictures + noise).reshape(-1, *NET.image_shape).astype(np.uint8)


IMAGES = small_images()
encode = encoder(NET, len(IMAGES))
ENCODED = encode(IMAGES, np.arange(len(IMAGES)))
TABLE = tuple(map(tf.constant, ENCODED))


def inputs(rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """What the network reads of images, float64."""
    return tuple(column[rows].astype(np.float64) for column in ENCODED)


def small_dataset() -> Dataset:
    """The images with all their classes for training and for test."""
    return Dataset(IMAGES, MAX_VALUE, {"train": POOL, "test": POOL}, "small")


def classifier(rule: InnerRule, net: ConvNet = NET, one: int = MAX_VALUE) -> Problem:
    """The problem that the programs train on, with `net` as the network; pixels go up to `one`."""
    return Problem(
        lambda weights, images: logits(net, unpack(net, weights), images, Reading(one)),
        summed_cross_entropy,
        rule,
        grouping(net),
    )


def stacked(rule: InnerRule, workers: Workers = ONE_PROCESS) -> MetaBatch:
    """Meta-batches of a `classifier` in the form for accelerators."""
    reading = Reading(MAX_VALUE, products=True)
    problem = classifier(rule)._replace(
        predict=lambda weights, images: logits(NET, unpack(NET, weights), images, reading)
    )
    return MetaBatch(problem, execution=Stacked(), workers=workers)


def some_weights(net: ConvNet = NET, seed: int = 0) -> np.ndarray:
    """Float64 [P]: as far into training as to have no zeros and ones left."""
    noise = np.random.default_rng(seed).normal(0, 0.1, net.size)
    return initial_weights(net, seed).astype(np.float64) + noise


def some_state(net: ConvNet = NET, time: int = 7) -> InnerState:
    """Weights, second moments and time in the middle of a run, float64."""
    moments = np.random.default_rng(1).uniform(0.1, 2, net.size)
    split = grouping(net).split
    return InnerState(split(some_weights(net)), split(moments), tf.constant(time, tf.int64))


def small_snapshot(net: ConvNet = NET, drawings: bool = False, **fields: object) -> Snapshot:
    """Weights, second moments and time of `some_state`, float32; `fields` of the configuration."""
    moments = np.random.default_rng(1).uniform(0.1, 2, net.size).astype(np.float32)
    config = Config(
        **{"way": net.way, "inner_rate": RATE, "checkpoint": "here", "data_dir": "there", **fields}
    )
    return Snapshot(
        net=json.loads(json.dumps(net._asdict())),
        config=config,
        weights=named_parts(net, some_weights(net).astype(np.float32)),
        second_moment=named_parts(net, moments),
        time=7,
        outer_steps=3,
        data="0" * 64,
        drawings=drawings,
    )


def flat(state: InnerState) -> tuple[np.ndarray, np.ndarray, int]:
    """Weights, second moments and time in NumPy, of a state with a single group of weights."""
    (weights,), (second_moment,), time = state
    return weights.numpy(), second_moment.numpy(), time.numpy()


def small_learner(
    rule: InnerRule,
    task_order: str = "chained",
    outer_optimizer: str = "sgd",
    second_order: bool = False,
) -> Learner:
    """A learner in the state `some_state`."""
    meta_batch = MetaBatch(classifier(rule), task_order, second_order)
    learner = Learner(meta_batch, some_weights(), outer_optimizer)
    _, second_moment, time = flat(some_state())
    learner.second_moment.assign(second_moment)
    learner.time.assign(time)
    return learner


def small_tasks(shape: TaskShape, steps: int, tasks: int, first: int = 0) -> Tasks:
    """Tasks of the small problem's classes."""
    stream = Stream(3, Purpose.TRAIN)
    return sample_tasks(POOL, shape, stream, range(first, first + steps), range(tasks))


def task_batch(tasks: Tasks) -> TaskBatch:
    """`tasks` with the small problem's images."""
    return TaskBatch(TABLE, tasks)


# Weights that went the same way but for the order of float64 additions.
assert_close = partial(np.testing.assert_allclose, rtol=1e-8, atol=1e-10)
