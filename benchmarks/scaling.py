#!/usr/bin/env python3
"""How training scales with threads and with the tasks of an outer step.

TensorFlow takes its number of threads once, so every number has a process of its own. More
threads than cores show what a mistaken --threads costs.

    python benchmarks/scaling.py                        Omniglot 5-way, 1, 2 and 4 threads
    python benchmarks/scaling.py --setting miniimagenet-5way --threads 1 --threads 2
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
from run import measure, training_entry
from setting import LENGTHS, make_setting

from supervised_reptile.config import PRESETS
from supervised_reptile.runtime import start_tensorflow

META_BATCHES = (1, 2, 4, 5, 8, 16, 32)


def tasks_per_second(name: str, precision: str, threads: int, rounds: int) -> dict[int, float]:
    """Median tasks a second for each meta-batch, rounds interleaved."""
    start_tensorflow(threads)
    entries = []
    for meta_batch in META_BATCHES:
        setting = make_setting(name, precision)
        config = dataclasses.replace(setting.config, meta_batch=meta_batch)
        steps = max(1, round(LENGTHS[name] * setting.config.meta_batch / meta_batch))
        entry = training_entry(setting._replace(config=config), precision, steps)
        entries.append(entry._replace(name=str(meta_batch), amount=steps * meta_batch))
    rates = measure(entries, rounds)
    return {int(entry): float(np.median(values)) for (_, entry), values in rates.items()}


@click.command(help=__doc__.replace("\n    ", "\n\n\b\n    ", 1))
@click.option("--setting", default="omniglot-5way", type=click.Choice(list(PRESETS)))
@click.option("--precision", default="float32", type=click.Choice(("float32", "bfloat16")))
@click.option("--threads", multiple=True, default=(1, 2, 4), show_default=True, type=int)
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(min=1))
@click.option("--one", is_flag=True, hidden=True, help="Measure here, and print JSON.")
def main(setting: str, precision: str, threads: tuple[int, ...], rounds: int, one: bool) -> None:
    if one:
        click.echo(json.dumps(tasks_per_second(setting, precision, threads[0], rounds)))
        return
    click.echo(f"{setting}, {precision}: tasks a second\n")
    click.echo("| threads | " + " | ".join(f"meta-batch {n}" for n in META_BATCHES) + " |")
    click.echo("|---" * (1 + len(META_BATCHES)) + "|")
    for count in threads:
        command = [sys.executable, str(Path(__file__)), "--one", "--setting", setting]
        command += ["--precision", precision, "--threads", str(count), "--rounds", str(rounds)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise click.ClickException(done.stderr)
        rates = json.loads(done.stdout).values()
        click.echo(f"| {count} | " + " | ".join(f"{rate:.3g}" for rate in rates) + " |")


if __name__ == "__main__":
    main()
