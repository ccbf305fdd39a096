#!/usr/bin/env python3
"""How training scales with threads and with the tasks of an outer step.

Every number has a process of its own, rounds are interleaved. More threads than cores show what a
mistaken --threads costs.

    python benchmarks/scaling.py                        Omniglot 5-way, 1, 2 and 4 threads
    python benchmarks/scaling.py --setting miniimagenet-5way --threads 1 --threads 2
"""

from __future__ import annotations

from functools import partial

import click
import numpy as np
from entries import training_entry
from rounds import measure
from setting import LENGTHS

from supervised_reptile.config import PRESETS

META_BATCHES = (1, 2, 4, 5, 8, 16, 32)


def tasks_per_second(name: str, precision: str, threads: int, rounds: int) -> list[float]:
    """Median tasks a second for each of META_BATCHES."""
    makes = []
    for meta_batch in META_BATCHES:
        steps = max(1, round(LENGTHS[name] * 5 / meta_batch))  # of 5 tasks each
        makes.append(partial(training_entry, name, precision, steps, meta_batch))
    measured, _ = measure(makes, rounds, threads)
    return [
        float(np.median(m.rates)) * meta_batch
        for m, meta_batch in zip(measured, META_BATCHES, strict=True)
    ]


@click.command(help=(__doc__ or "").replace("\n    ", "\n\n\b\n    ", 1))
@click.option("--setting", default="omniglot-5way", type=click.Choice(list(PRESETS)))
@click.option("--precision", default="float32", type=click.Choice(("float32", "bfloat16")))
@click.option("--threads", multiple=True, default=(1, 2, 4), show_default=True, type=int)
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(min=1))
def main(setting: str, precision: str, threads: tuple[int, ...], rounds: int) -> None:
    click.echo(f"{setting}, {precision}: tasks a second\n")
    click.echo("| threads | " + " | ".join(f"meta-batch {n}" for n in META_BATCHES) + " |")
    click.echo("|---" * (1 + len(META_BATCHES)) + "|")
    for count in threads:
        rates = tasks_per_second(setting, precision, count, rounds)
        click.echo(f"| {count} | " + " | ".join(f"{rate:.3g}" for rate in rates) + " |")


if __name__ == "__main__":
    main()
