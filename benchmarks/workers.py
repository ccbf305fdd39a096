#!/usr/bin/env python3
"""What one run over several workers costs and gains, and a model of it for more of them.

Measures on this machine, each in processes of its own: the all-reduce of an outer step by itself,
for several numbers of workers and sizes; the bytes that cross the loopback interface; outer steps
a second by one thread, two threads and two workers of one core each. Then fits the time of a hop
of the ring to the first, checks the model's outer steps against the last, and tabulates its
efficiency for clusters.

    python benchmarks/workers.py                  20 minutes on two idle cores
    python benchmarks/workers.py --short          a minute, to see that it works
    python benchmarks/workers.py --json OUT.json  keeps the measurements
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from tqdm import tqdm
from worker_model import Hop, all_reduce_seconds, efficiency_table, fit_hop, step_seconds

from supervised_reptile.analysis.tables import Table
from supervised_reptile.system.machine import describe
from supervised_reptile.system.start_tensorflow import start_tensorflow
from supervised_reptile.system.tf_config import read_cluster, rings

SETTING = "omniglot-5way"
WEIGHTS = 112_965  # of its network
STEP_FLOATS = 2 * WEIGHTS  # an outer step's: the update and Adam's second moment
SIZES = (1_000, 30_000, STEP_FLOATS, 1_000_000)  # floats in an all-reduce
RINGS = (2, 3, 4, 8, 9)  # workers in an all-reduce
META_BATCHES = (2, 4, 5, 8, 16, 32)
# Workers, and the threads of each.
FORMS = {"one thread": (1, 1), "two threads": (1, 2), "two workers, a core each": (2, 1)}
INTERFACES = Path("/proc/net/dev")
AS_WORKER = "as-worker"


class Work(NamedTuple):
    """What a group of processes measures."""

    workers: int
    threads: int  # of each
    meta_batch: int  # 0: all-reduces alone
    floats: int  # of an all-reduce
    repeats: int  # outer steps or all-reduces in a call
    calls: int


def all_reduces(work: Work) -> tuple:
    """A function that all-reduces, and how many bytes it is about."""
    import tensorflow as tf

    from supervised_reptile.algorithms.worker_group import group_of

    group = group_of(read_cluster())

    @tf.function(autograph=False)
    def loop(vector: tf.Tensor) -> tf.Tensor:
        def body(index, vector):
            return index + 1, group.mean(((vector,),), 1)[0][0]

        return tf.while_loop(lambda index, _: index < work.repeats, body, (0, vector))[1]

    vector = tf.ones([work.floats])

    def run() -> None:
        group.next_call()
        loop(vector).numpy()

    return group, run


def training(work: Work) -> tuple:
    """A function that takes outer steps."""
    import dataclasses

    from entries import make_learner
    from setting import make_setting

    from supervised_reptile.algorithms.worker_group import group_of
    from supervised_reptile.training import loop

    group = group_of(read_cluster())
    setting = make_setting(SETTING)
    config = dataclasses.replace(setting.config, meta_batch=work.meta_batch)
    learner, feed = make_learner(setting._replace(config=config), group)
    assert learner.weights.shape[0] == WEIGHTS
    pool, shape = setting.dataset.pools["train"], loop.task_shape(config)
    share = group.share(work.meta_batch)
    fed = feed(loop.draw(config, pool, shape, loop.Chunk(0, work.repeats), share))
    sizes = np.full(work.repeats, 0.1)
    return group, lambda: learner.train(fed, sizes)


def serve(out: str, work: Work) -> None:
    """What each of the processes does: seconds and loopback bytes per repeat, from the chief."""
    start_tensorflow(work.threads, read_cluster())
    group, run = training(work) if work.meta_batch else all_reduces(work)
    run()  # compiles
    seconds, sent = [], []
    for _ in range(work.calls):
        group.maximum(0)
        before, began = loopback_bytes(), time.perf_counter()
        run()
        seconds.append((time.perf_counter() - began) / work.repeats)
        sent.append((loopback_bytes() - before) / work.repeats)
    if group.is_chief:
        Path(out).write_text(json.dumps([float(np.median(seconds)), float(np.median(sent))]))
    group.maximum(0)


def loopback_bytes() -> int:
    """Bytes that crossed the loopback interface: all workers' together, which have it alone.

    Where `reptile launch` warns that they have no network of their own, the machine's other
    programs count, too.
    """
    if not INTERFACES.exists():
        return 0
    (line,) = (row for row in INTERFACES.read_text().splitlines() if row.strip().startswith("lo:"))
    return int(line.partition(":")[2].split()[0])


def measured(work: Work) -> tuple[float, float]:
    """Seconds and bytes per repeat."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out.json")
        # A process of its own: NumPy has threads here, with which only root leaves a network.
        launcher = [sys.executable, "-m", "supervised_reptile", "launch", "--workers"]
        command = [__file__, AS_WORKER, out, json.dumps(work)]
        status = subprocess.run([*launcher, str(work.workers), "--", *command]).returncode
        if status:
            raise click.ClickException(f"{work} ended with status {status}")
        return tuple(json.loads(Path(out).read_text()))


def plan(short: bool) -> dict[str, Work]:
    """All that is measured, by name."""
    works = {}
    sizes, rings = (SIZES[::2], RINGS[:1]) if short else (SIZES, RINGS)
    repeats, calls = (20, 2) if short else (100, 7)
    for floats in sizes:
        works[f"ring 2 {floats}"] = Work(2, 1, 0, floats, repeats, calls)
    for workers in rings[1:]:
        works[f"ring {workers} {STEP_FLOATS}"] = Work(workers, 1, 0, STEP_FLOATS, repeats, calls)
    for meta_batch in (4,) if short else META_BATCHES:
        steps = 2 if short else max(2, 60 // meta_batch)
        for form, (workers, threads) in FORMS.items():
            name = f"{form} {meta_batch}"
            works[name] = Work(workers, threads, meta_batch, 0, steps, calls)
    return works


def measure_all(works: dict[str, Work], rounds: int) -> dict[str, tuple[float, float]]:
    """Medians of seconds and bytes per repeat, of rounds that take turns."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    with tqdm(total=rounds * len(works), unit="measurement", disable=None) as bar:
        for _ in range(rounds):
            for name, work in works.items():
                found[name].append(measured(work))
                bar.update()
    return {name: tuple(np.median(pairs, axis=0).tolist()) for name, pairs in found.items()}


Figures = dict[str, tuple[float, float]]


def ring_table(figures: Figures, hop: Hop) -> Table:
    """All-reduces beside what the model says of them."""
    rows = []
    for name, (seconds, sent) in figures.items():
        if name.startswith("ring"):
            workers, floats = map(int, name.split()[1:])
            model = all_reduce_seconds(hop, workers, 4 * floats)
            ideal = sum(2 * (n - 1) / n * 4 * floats for n in rings(workers))
            row = (workers, 4 * floats, sent / workers, ideal, 1e3 * seconds, 1e3 * model)
            rows.append(tuple(f"{value:,.2f}".removesuffix(".00") for value in row))
    columns = (
        "workers",
        "bytes reduced",
        "bytes sent by each, measured",
        "by rings in theory",
        "ms, measured",
        "ms, the model",
    )
    return Table("All-reduce", columns, tuple(rows))


def training_table(figures: Figures, hop: Hop) -> Table:
    """Outer steps a second, and the model's."""
    rows = []
    batches = [int(name.split()[-1]) for name in figures if name.startswith("one thread")]
    for batch in batches:
        one, two, shared = (figures[f"{form} {batch}"][0] for form in FORMS)
        model = step_seconds(hop, 2, batch, 4 * STEP_FLOATS, one / batch)
        exchange = all_reduce_seconds(hop, 2, 4 * STEP_FLOATS)
        cells = [f"{1 / value:.1f}" for value in (one, two, shared, model)]
        ratios = [f"{one / two:.2f}", f"{one / shared:.2f}"]
        share = f"{1e3 * (shared - exchange):.1f} + {1e3 * exchange:.1f}"
        rows.append((str(batch), *cells, *ratios, share))
    columns = (
        "meta-batch",
        *FORMS,
        "two workers, the model",
        "two threads over one",
        "two workers over one thread",
        "two workers: compute + all-reduce, ms",
    )
    title = f"Outer steps a second, {SETTING}"
    return Table(title, columns, tuple(rows))


def report(figures: Figures, network: tuple[int, float] | None = None) -> str:
    """Everything as Markdown; the efficiency for the measured network, or (weights, ms a task)."""
    sizes = {
        4.0 * int(name.split()[2]): seconds
        for name, (seconds, _) in figures.items()
        if name.startswith("ring 2 ")
    }
    hop = fit_hop(sizes)
    batch = max(int(name.split()[-1]) for name in figures if name.startswith("two threads"))
    task = figures[f"two threads {batch}"][0] / batch
    note = (
        f"A hop, fitted to two workers: {1e6 * hop.start:.0f} us and {1e9 * hop.per_byte:.2f} ns a "
        f"byte ({1e-9 / hop.per_byte:.2f} GB/s). A task takes a worker of two cores "
        f"{1e3 * task:.1f} ms (meta-batch {batch}, two threads)."
    )
    weights, milliseconds = network or (WEIGHTS, 1e3 * task)
    tables = (
        ring_table(figures, hop),
        training_table(figures, hop),
        efficiency_table(hop, 4 * 2 * weights, milliseconds / 1e3),
    )
    lines = [f"{name}: {value}" for name, value in describe().items()]
    return "\n\n".join([", ".join(lines), note, *(table.markdown() for table in tables)])


@click.command(help=(__doc__ or "").replace("\n    ", "\n\n\b\n    ", 1))
@click.option("--short", is_flag=True, help="Everything once and briefly.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--json", "out", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--from-json",
    "stored",
    type=click.Path(exists=True, path_type=Path),
    help="Tables of a --json.",
)
@click.option(
    "--network",
    type=(click.IntRange(min=1), click.FloatRange(min=0, min_open=True)),
    metavar="WEIGHTS MS",
    help="Efficiency for another network than Omniglot 5-way's: its number of weights and the "
    "milliseconds a worker takes for a task.",
)
def main(
    short: bool,
    rounds: int,
    out: Path | None,
    stored: Path | None,
    network: tuple[int, float] | None,
) -> None:
    if stored:
        figures = json.loads(stored.read_text())
    else:
        figures = measure_all(plan(short), 1 if short else rounds)
    if out:
        out.write_text(json.dumps(figures, indent=1) + "\n")
    click.echo(report(figures, network))


if __name__ == "__main__":
    if sys.argv[1:2] == [AS_WORKER]:
        serve(sys.argv[2], Work(*json.loads(sys.argv[3])))
    else:
        main()
