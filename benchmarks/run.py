#!/usr/bin/env python3
"""How fast training is, as a share of what the machine can do: python benchmarks/run.py.

Rounds are interleaved, so that a machine that drifts (others use it too) slows everything
alike; medians and their spread over rounds are printed, and the ratio to the matrix
product's speed, which is the comparison to trust between machines.
"""

from __future__ import annotations

import json
import math
import resource
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np

from supervised_reptile.config import PRESETS, Config
from supervised_reptile.runtime import start_tensorflow

MATRIX = 2048  # rows and columns of the matrix product that defines the peak


def training_flops(net, images: int) -> float:
    """Floating-point operations of one outer step over `images`: 3 forward passes each."""
    height, width, _ = net.image_shape
    total = 0
    for name, shape in net.shapes:
        if name.endswith("/kernel") and len(shape) == 4:
            if not net.pooling:
                height, width = -(-height // 2), -(-width // 2)
            total += 2 * math.prod(shape) * height * width
            if net.pooling:
                height, width = -(-height // 2), -(-width // 2)
        elif len(shape) == 2:
            total += 2 * math.prod(shape)
    return 3.0 * total * images


def training_round(preset: str, outer_steps: int) -> tuple[Callable[[], float], float]:
    """(a function that trains and returns outer steps per second, FLOP of an outer step)."""
    from supervised_reptile import experiment, models, train
    from supervised_reptile.data.dataset import ClassPool, Dataset
    from supervised_reptile.feed import ImageFeed

    config = Config(**PRESETS[preset])
    pooling = preset.startswith("mini")
    shape = (84, 84, 3) if pooling else (28, 28, 1)
    classes, per_class = (64, 100) if pooling else (1200, 20)
    chance = np.random.default_rng(0)
    pixels = chance.integers(0, 2, (classes * per_class, *shape), np.uint8)
    starts = np.arange(classes, dtype=np.int64) * per_class
    pool = ClassPool(starts, np.full(classes, per_class), ("",) * classes)
    dataset = Dataset(pixels, 1, {"train": pool}, "")
    net = (models.miniimagenet_net if pooling else models.omniglot_net)(shape, config.way)
    learner = experiment.make_learner(config, net, 1)
    feed = ImageFeed(dataset)
    task_shape = train.task_shape(config)

    def run() -> float:
        chunk = train.Chunk(0, outer_steps)
        fed = feed(train.draw(config, pool, task_shape, chunk))
        began = time.perf_counter()
        learner.train(fed, np.full(outer_steps, 0.1))
        return outer_steps / (time.perf_counter() - began)

    images = config.meta_batch * config.inner_steps * config.inner_batch
    return run, training_flops(net, images)


def sgemm_round(threads: int) -> Callable[[], float]:
    """A function that returns the GFLOP/s of float32 matrix products, one per thread at a time."""
    import tensorflow as tf

    matrices = tf.random.stateless_normal([threads, MATRIX, MATRIX], [0, 0])

    @tf.function
    def products() -> tf.Tensor:
        return tf.stack([tf.reduce_sum(m @ m) for m in tf.unstack(matrices)])

    def run() -> float:
        began = time.perf_counter()
        products().numpy()
        return threads * 2 * MATRIX**3 / (time.perf_counter() - began) / 1e9

    return run


@click.command(help=__doc__)
@click.option("--rounds", default=7, show_default=True)
@click.option("--setting", "settings", multiple=True, type=click.Choice(list(PRESETS)))
@click.option("--threads", default=0, help="0: all cores.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write the figures there.")
def main(rounds: int, settings: tuple[str, ...], threads: int, out: Path | None) -> None:
    from supervised_reptile.runtime import usable_cores

    start_tensorflow(threads)
    lengths = {"omniglot-5way": 30, "omniglot-20way": 8, "miniimagenet-5way": 3}
    names = settings or tuple(PRESETS)
    measured = {name: training_round(name, lengths[name]) for name in names}
    runs = {"sgemm": sgemm_round(threads or usable_cores())}
    runs |= {name: run for name, (run, _) in measured.items()}
    for run in runs.values():
        run()  # compiles
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            rates[name].append(run())
    peak = float(np.median(rates["sgemm"]))
    click.echo(f"float32 matrix product: {peak:.0f} GFLOP/s (median of {rounds} rounds)")
    for name in names:
        rate, flops = float(np.median(rates[name])), measured[name][1]
        shares = [r * flops / 1e9 / p for r, p in zip(rates[name], rates["sgemm"], strict=True)]
        low, high = np.percentile(rates[name], [25, 75])
        click.echo(
            f"{name}: {rate:.1f} outer steps/s (quartiles {low:.1f} to {high:.1f}), "
            f"{np.median(shares):.2f} of the matrix product's speed"
        )
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    click.echo(f"peak resident memory: {megabytes:.0f} MiB")
    if out:
        out.write_text(json.dumps({"rates": rates, "peak_mib": megabytes}, indent=1) + "\n")


if __name__ == "__main__":
    main()
