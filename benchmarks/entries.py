"""What benchmarks measure: functions that work, and how much they do.

Every `*_entry` is called in a process of its own, after TensorFlow was started there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from setting import Setting, make_setting

from supervised_reptile.system.thread_pool import cores

MATRIX = 2048  # rows and columns of the matrix product that defines the peak
# The paper's inner batch of 5-shot evaluation, where it is not that of 1-shot.
FIVE_SHOT_EVAL_BATCH = {"miniimagenet-5way": 15}
# PyTorch's compiler comes along with its optimizers.
PEER_MODULES = {"Tensor": "tensorflow", "PyTorch": "torch._dynamo", "JAX": "jax"}


class Entry(NamedTuple):
    """One line of a table."""

    name: str
    work: Callable[[], object]
    amount: float  # units of work in one call
    unit: str
    flops: float = 0.0  # of one call


def training_entry(name: str, precision: str, steps: int, meta_batch: int | None = None) -> Entry:
    """Ours: outer steps in one compiled call, sampling of the tasks not included.

    `name` is a key of PRESETS; `meta_batch` is the setting's unless given.
    """
    from supervised_reptile.training import loop

    setting = make_setting(name, precision)
    if meta_batch:
        config = dataclasses.replace(setting.config, meta_batch=meta_batch)
        setting = setting._replace(config=config)
    learner, feed = make_learner(setting)
    pool, shape = setting.dataset.pools["train"], loop.task_shape(setting.config)
    batch = feed(loop.draw(setting.config, pool, shape, loop.Chunk(0, steps)))
    sizes = np.full(steps, 0.1)
    flops = steps * setting.flops_per_step
    work = f"training, {precision}"
    return Entry(work, lambda: learner.train(batch, sizes), steps, "outer steps", flops)


def evaluation_entry(name: str, precision: str, episodes: int) -> Entry:
    """Ours: 5-shot episodes, both transduction modes from one adaptation."""
    from supervised_reptile.config import NON_TRANSDUCTIVE, TRANSDUCTIVE
    from supervised_reptile.data import episodes as sampler
    from supervised_reptile.training.evaluation import evaluation_shape

    setting = make_setting(name, precision)
    learner, feed = make_learner(setting)
    stream = sampler.Stream(0, sampler.Purpose.EVALUATE)
    batch = FIVE_SHOT_EVAL_BATCH.get(name, setting.config.eval_batch)
    config = dataclasses.replace(setting.config, shots=5, eval_batch=batch)
    shape, pool = evaluation_shape(config), setting.dataset.pools["test"]
    batch = feed(sampler.sample_tasks(pool, shape, stream, range(1), range(episodes)))
    modes = (TRANSDUCTIVE, NON_TRANSDUCTIVE)
    work = f"evaluation, {precision}"
    return Entry(work, lambda: learner.count_correct(batch, modes), episodes, "episodes")


def make_learner(setting: Setting):
    """Our learner and image feed for a setting."""
    from supervised_reptile.algorithms.image_feed import ImageFeed
    from supervised_reptile.networks import conv4
    from supervised_reptile.training import experiment

    make_net = conv4.miniimagenet_net if setting.pooling else conv4.omniglot_net
    net = make_net(setting.dataset.image_shape, setting.config.way)
    max_value = setting.dataset.max_value
    learner = experiment.make_learner(setting.config, net, max_value)
    return learner, ImageFeed(setting.dataset, conv4.encoder(net, len(setting.dataset.images)))


class PeerEntry(NamedTuple):
    """Makes the entry of a peer's outer steps."""

    setting: str
    peer: str
    steps: int

    @property
    def module(self) -> str:
        """What it is written with, which may not be installed."""
        return next(m for start, m in PEER_MODULES.items() if start in self.peer)

    def __call__(self) -> Entry:
        from peers import PEERS

        setting, steps = make_setting(self.setting), self.steps
        run, flops = PEERS[self.peer](setting), self.steps * setting.flops_per_step
        return Entry(self.peer, lambda: run(steps), steps, "outer steps", flops)


def matrix_entry(precision: str, threads: int) -> Entry:
    """Square matrix products, one for each thread side by side."""
    import tensorflow as tf

    threads = threads or cores()
    matrices = tf.cast(tf.random.stateless_normal([threads, MATRIX, MATRIX], (0, 0)), precision)

    @tf.function
    def products() -> tf.Tensor:
        return tf.stack([tf.reduce_sum(m @ m) for m in tf.unstack(matrices)])

    flops = threads * 2.0 * MATRIX**3
    name = f"matrix product, {precision}"
    return Entry(name, lambda: products().numpy(), flops / 1e9, "GFLOP", flops)
