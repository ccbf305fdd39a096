#!/usr/bin/env python3
"""Measure training and evaluation, against the machine's limit and against what else there is.

Rounds are interleaved, so that a machine that drifts (others use it too) slows everything
alike. The table gives medians over rounds and their quartiles, in units of work a second;
"of peak" is the share of the float32 matrix product's speed measured in the same rounds,
which is the figure to compare between machines.

    python benchmarks/run.py                     everything (about ten minutes on two cores)
    python benchmarks/run.py --short             everything once, to see that it runs
    python benchmarks/run.py --setting omniglot-5way --rounds 9 --json figures.json
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from setting import LENGTHS, Setting, make_setting

from supervised_reptile.config import PRESETS
from supervised_reptile.runtime import start_tensorflow
from supervised_reptile.workers import cores

MATRIX = 2048  # rows and columns of the matrix product that defines the peak
EPISODES = {"omniglot-5way": 32, "omniglot-20way": 8, "miniimagenet-5way": 4}
# The paper's inner batch of 5-shot evaluation, where it is not that of 1-shot.
FIVE_SHOT_EVAL_BATCH = {"miniimagenet-5way": 15}
PEER_MODULES = {"Tensor": "tensorflow", "PyTorch": "torch", "JAX": "jax"}


class Entry(NamedTuple):
    """One line of the table: a function that works, and how much it does."""

    setting: str
    name: str
    work: Callable[[], object]
    amount: float  # units of work in one call
    unit: str
    flops: float = 0.0  # of one call


def training_entry(setting: Setting, precision: str, steps: int) -> Entry:
    """Ours: outer steps in one compiled call, sampling of the tasks not included."""
    from supervised_reptile import train

    learner, feed = make_learner(setting)
    fed = feed(
        train.draw(
            setting.config,
            setting.dataset.pools["train"],
            train.task_shape(setting.config),
            train.Chunk(0, steps),
        )
    )
    sizes = np.full(steps, 0.1)
    name = f"training, {precision}"
    flops = steps * setting.flops_per_step
    return Entry(setting.name, name, lambda: learner.train(fed, sizes), steps, "outer steps", flops)


def evaluation_entry(setting: Setting, precision: str, episodes: int) -> Entry:
    """Ours: 5-shot episodes, both transduction modes from one adaptation."""
    from supervised_reptile import episodes as sampler
    from supervised_reptile.evaluate import NON_TRANSDUCTIVE, TRANSDUCTIVE
    from supervised_reptile.scoring import evaluation_shape

    learner, feed = make_learner(setting)
    stream = sampler.Stream(0, sampler.Purpose.EVALUATE)
    batch = FIVE_SHOT_EVAL_BATCH.get(setting.name, setting.config.eval_batch)
    config = dataclasses.replace(setting.config, shots=5, eval_batch=batch)
    shape, pool = evaluation_shape(config), setting.dataset.pools["test"]
    fed = feed(sampler.sample_tasks(pool, shape, stream, range(1), range(episodes)))
    modes = (TRANSDUCTIVE, NON_TRANSDUCTIVE)
    name = f"evaluation, {precision}"
    return Entry(
        setting.name, name, lambda: learner.count_correct(fed, modes), episodes, "episodes"
    )


def make_learner(setting: Setting):
    """Our learner and image feed for a setting."""
    from supervised_reptile import experiment, models
    from supervised_reptile.feed import ImageFeed

    make_net = models.miniimagenet_net if setting.pooling else models.omniglot_net
    net = make_net(setting.dataset.image_shape, setting.config.way)
    learner = experiment.make_learner(setting.config, net, setting.dataset.max_value)
    return learner, ImageFeed(setting.dataset, models.encoder(net, len(setting.dataset.images)))


def peer_entries(setting: Setting, steps: int) -> list[Entry]:
    """The peers that are installed; says which are not."""
    from peers import PEERS

    entries = []
    for name, make in PEERS.items():
        module = next(m for start, m in PEER_MODULES.items() if start in name)
        try:
            importlib.import_module(module)
        except ImportError:
            click.echo(f"not installed, left out: {name} (pip install '.[peers]')")
            continue
        run = make(setting)
        flops = steps * setting.flops_per_step
        entries.append(
            Entry(setting.name, name, lambda r=run: r(steps), steps, "outer steps", flops)
        )
    return entries


def matrix_entry(precision: str, threads: int) -> Entry:
    """Square matrix products, one for each thread side by side."""
    import tensorflow as tf

    matrices = tf.cast(tf.random.stateless_normal([threads, MATRIX, MATRIX], [0, 0]), precision)

    @tf.function
    def products() -> tf.Tensor:
        return tf.stack([tf.reduce_sum(m @ m) for m in tf.unstack(matrices)])

    flops = threads * 2.0 * MATRIX**3
    amount = flops / 1e9
    return Entry(
        "machine", f"matrix product, {precision}", lambda: products().numpy(), amount, "GFLOP"
    )


def measure(entries: list[Entry], rounds: int) -> dict[tuple[str, str], list[float]]:
    """Units of work a second of every entry in every round, entries taking turns."""
    for entry in entries:
        entry.work()  # compiles
    rates: dict[tuple[str, str], list[float]] = {(e.setting, e.name): [] for e in entries}
    for _ in range(rounds):
        for entry in entries:
            began = time.perf_counter()
            entry.work()
            rates[entry.setting, entry.name].append(entry.amount / (time.perf_counter() - began))
    return rates


def table(entries: list[Entry], rates: dict[tuple[str, str], list[float]]) -> list[str]:
    """The measurements as a Markdown table."""
    peaks = np.array(rates["machine", "matrix product, float32"]) * 1e9
    rows = ["| setting | what | median | quartiles | of peak |", "|---|---|---|---|---|"]
    for entry in entries:
        values = np.array(rates[entry.setting, entry.name])
        low, median, high = np.percentile(values, [25, 50, 75])
        share = np.median(values / entry.amount * entry.flops / peaks)
        rows.append(
            f"| {entry.setting} | {entry.name} | {median:.3g} {entry.unit}/s "
            f"| {low:.3g} to {high:.3g} | {f'{share:.2f}' if entry.flops else ''} |"
        )
    return rows


@click.command(help=__doc__.replace("\n    ", "\n\n\b\n    ", 1))
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(min=1))
@click.option("--setting", "names", multiple=True, type=click.Choice(list(PRESETS)))
@click.option("--peers/--no-peers", default=True, show_default=True)
@click.option("--threads", default=0, help="CPU threads; 0 means all.")
@click.option("--short", is_flag=True, help="One short round of each.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write all figures there.")
def main(
    rounds: int, names: tuple[str, ...], peers: bool, threads: int, short: bool, out: Path | None
) -> None:
    start_tensorflow(threads)
    names = names or (("omniglot-5way",) if short else tuple(PRESETS))
    rounds = 1 if short else rounds
    types = ("float32", "bfloat16")
    entries = [matrix_entry(precision, threads or cores()) for precision in types]
    for name in names:
        steps = 1 if short else LENGTHS[name]
        for precision in types:
            setting = make_setting(name, precision)
            entries.append(training_entry(setting, precision, steps))
            entries.append(evaluation_entry(setting, precision, 2 if short else EPISODES[name]))
        if peers:
            entries += peer_entries(make_setting(name), max(1, steps // 6))
    rates = measure(entries, rounds)
    click.echo("\n".join(table(entries, rates)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    click.echo(f"peak resident memory of this process: {peak:.0f} MiB")
    if out:
        figures = {" / ".join(key): values for key, values in rates.items()}
        content = {"rates": figures, "peak_mib": peak, "rounds": rounds}
        out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
