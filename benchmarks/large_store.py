#!/usr/bin/env python3
"""Training on a store far larger than memory should hold: speed and resident memory.

Makes a sparse file of so many gigabytes of 84x84 images (it takes no disk space), trains at the
Mini-ImageNet setting of the paper on it and on a small store, in turns, and compares.

    python benchmarks/large_store.py --gigabytes 20
"""

from __future__ import annotations

import math
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from setting import make_setting

from supervised_reptile.system.start_tensorflow import start_tensorflow

start_tensorflow()

from supervised_reptile.algorithms.image_feed import ImageFeed, prefetched  # noqa: E402
from supervised_reptile.algorithms.learner import Learner  # noqa: E402
from supervised_reptile.config import Config  # noqa: E402
from supervised_reptile.data.dataset import ClassPool, Dataset  # noqa: E402
from supervised_reptile.networks.conv4 import ConvNet, encoder, miniimagenet_net  # noqa: E402
from supervised_reptile.training import experiment  # noqa: E402
from supervised_reptile.training.loop import Chunk, draw, task_shape  # noqa: E402

STEPS = 4
PER_CLASS = 1000


def resident_mib() -> float:
    """The memory that this process occupies now, memory-mapped files included."""
    (kilobytes,) = re.findall(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kilobytes) / 1024


@click.command(help=(__doc__ or "").replace("\n    ", "\n\n\b\n    ", 1))
@click.option("--gigabytes", default=20.0, show_default=True, type=click.FloatRange(min=0.5))
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(min=1))
def main(gigabytes: float, rounds: int) -> None:
    setting = make_setting("miniimagenet-5way")
    small = setting.dataset
    net = miniimagenet_net(small.image_shape, setting.config.way)
    learner = experiment.make_learner(setting.config, net, small.max_value)
    with tempfile.TemporaryDirectory() as folder:
        count = int(gigabytes * 1e9 / math.prod(small.image_shape))
        large = sparse(Path(folder) / "images.npy", small, count, setting.config, rounds)
        trainers = {
            data.images.nbytes / 1e9: trainer(setting.config, data, net, learner)
            for data in (small, large)
        }
        rates: dict[float, list[float]] = {size: [] for size in trainers}
        for turn in range(rounds + 1):
            for size, work in trainers.items():
                began = time.perf_counter()
                work(turn)
                if turn:  # the first one compiles
                    rates[size].append(STEPS / (time.perf_counter() - began))
        for size, values in rates.items():
            low, median, high = np.percentile(values, [25, 50, 75])
            click.echo(f"{size:.2g} GB: {median:.3g} outer steps/s ({low:.3g} to {high:.3g})")
        click.echo(f"resident memory: {resident_mib():.0f} MiB")


def chunks(turn: int) -> list[Chunk]:
    """The outer steps of a turn, one a call."""
    return [Chunk(step, step + 1) for step in range(turn * STEPS, (turn + 1) * STEPS)]


def sparse(path: Path, like: Dataset, count: int, config: Config, rounds: int) -> Dataset:
    """A memory-mapped set of so many images; only those that will be used are written."""
    shape = (count, *like.image_shape)
    images = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    classes = count // PER_CLASS
    starts = np.arange(classes, dtype=np.int64) * PER_CLASS
    pool = ClassPool(starts, np.full(classes, PER_CLASS), ("",) * classes)
    for turn in range(rounds + 1):
        for chunk in chunks(turn):
            used = np.unique(draw(config, pool, task_shape(config), chunk).rows)
            images[used] = like.images[: len(used)]
    return Dataset(np.load(path, mmap_mode="r"), like.max_value, {"train": pool}, "")


def trainer(
    config: Config, dataset: Dataset, net: ConvNet, learner: Learner
) -> Callable[[int], None]:
    """A function that trains the steps of a turn."""
    feed = ImageFeed(dataset, encoder(net, len(dataset.images)))

    def work(turn: int) -> None:
        pool, shape = dataset.pools["train"], task_shape(config)
        for _, batch in prefetched(chunks(turn), lambda c: feed(draw(config, pool, shape, c))):
            learner.train(batch, np.full(1, 0.1))

    return work


if __name__ == "__main__":
    main()
