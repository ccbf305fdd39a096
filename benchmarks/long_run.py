#!/usr/bin/env python3
"""Whether a long run stays as fast and as small as it began.

Trains a small task on drawn alphabets for many outer steps, with a look every 10, and tells on the
way the outer steps a second, the memory of the process and the bytes of its run directory.

    python benchmarks/long_run.py                      100,000 outer steps, two minutes
    python benchmarks/long_run.py --outer-steps 2000   to see that it works
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from supervised_reptile.analysis.tables import Table
from supervised_reptile.data.glyphs.draw_alphabets import GlyphSet, write_glyphs

ROOT = Path(__file__).resolve().parents[1]
SMALL = (
    "--classes 2 --shots 1 --train-shots 1 --inner-batch 2 --inner-iters 1 --meta-batch 1 "
    "--meta-step-final 0 --eval-batch 2 --eval-iters 1 --eval-samples 50 --eval-interval 10"
)
PARTS = 10  # of the run, a line of the table each


class Moment(NamedTuple):
    """The run at one time."""

    step: int
    seconds: float
    memory: float  # MiB resident
    metrics: int  # bytes
    events: int  # bytes, TensorBoard's
    files: int  # in the run directory


def watched(process: subprocess.Popen, run: Path, outer_steps: int) -> Iterator[Moment]:
    """A moment at the beginning and at the last look of every part of a run under way."""
    part = 0
    while process.poll() is None:
        step, following = looks(run)
        if PARTS * following >= part * outer_steps and step > 0:
            part = PARTS * following // outer_steps + 1
            yield moment(process.pid, run, step)
        time.sleep(0.2)


def looks(run: Path) -> tuple[int, int]:
    """The outer steps of the newest look and of the one after it; 0 and 0 before the second."""
    try:
        lines = (run / "metrics.jsonl").read_text().split("\n")[:-1]
    except FileNotFoundError:
        return 0, 0
    if len(lines) < 2:
        return 0, 0
    first, second, newest = (json.loads(lines[i])["step"] for i in (0, 1, -1))
    return newest, newest + second - first


def moment(pid: int, run: Path, step: int) -> Moment:
    """Look at the process and at its files."""
    files = [path for path in run.rglob("*") if path.is_file()]
    events = sum(path.stat().st_size for path in files if "tensorboard" in path.parts)
    metrics = (run / "metrics.jsonl").stat().st_size
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Moment(step, time.monotonic(), pages * 4096 / 2**20, metrics, events, len(files))


def table(moments: list[Moment]) -> Table:
    """One line a part of the run."""
    rows = []
    for before, now in itertools.pairwise(moments):
        speed = (now.step - before.step) / (now.seconds - before.seconds)
        sizes = (f"{now.metrics / 1e6:.2f}", f"{now.events / 1e6:.2f}", str(now.files))
        rows.append((f"{now.step:,}", f"{speed:.0f}", f"{now.memory:.0f}", *sizes))
    columns = ("outer step", "outer steps/s", "memory, MiB", "metrics, MB", "events, MB", "files")
    return Table("A long run", columns, tuple(rows))


@click.command(help=(__doc__ or "").replace("\n    ", "\n\n\b\n    ", 1))
@click.option("--outer-steps", default=100_000, show_default=True, type=click.IntRange(min=1000))
def main(outer_steps: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data, run = Path(folder) / "alphabets", Path(folder) / "run"
        write_glyphs(data, GlyphSet(seed=0, alphabets=2, characters=20, drawings=20))
        command = [sys.executable, str(ROOT / "run_omniglot.py"), *SMALL.split(), "--meta-iters"]
        places = ["--data-dir", str(data), "--checkpoint", str(run)]
        process = subprocess.Popen(
            [*command, str(outer_steps), *places], stdout=subprocess.DEVNULL, cwd=ROOT
        )
        moments = list(watched(process, run, outer_steps))
        if process.returncode:
            raise click.ClickException(f"the run ended with status {process.returncode}")
    click.echo(table(moments).markdown())


if __name__ == "__main__":
    main()
