#!/usr/bin/env python3
"""Outer steps a second of one run: one thread, two threads, and two workers of one core.

    python benchmarks/workers.py                 ten minutes on two idle cores
    python benchmarks/workers.py --rounds 1 --meta-batch 8 --outer-steps 20

Real command lines in the Omniglot 5-way setting, on drawn alphabets; rounds are interleaved. Only
training is timed (`training_seconds` in results.json), neither starting nor evaluating.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import numpy as np

from supervised_reptile.analysis.tables import Table
from supervised_reptile.config import PRESETS, Config
from supervised_reptile.flags import flags

ROOT = Path(__file__).resolve().parents[1]

FORMS = {
    "one thread": ["--threads", "1"],
    "two threads": ["--threads", "2"],
    "two workers": ["--workers", "2", "--worker-cpus", "1"],
}


def outer_steps_per_second(form: str, meta_batch: int, steps: int, data: Path, run: Path) -> float:
    """Of one training with its own processes; the first call, which compiles, included."""
    config = Config(
        **{**PRESETS["omniglot-5way"], "meta_batch": meta_batch, "outer_steps": steps},
        eval_interval=steps,
        eval_episodes=1,
        data_dir=str(data),
        checkpoint=str(run),
    )
    command = [sys.executable, ROOT / "run_omniglot.py", *flags(config), *FORMS[form]]
    subprocess.run([*command, "--overwrite"], check=True, stdout=subprocess.DEVNULL)
    (evaluation,) = json.loads((run / "results.json").read_text())["evaluations"]
    return steps / evaluation["training_seconds"]


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rounds", default=3, show_default=True)
@click.option("--meta-batch", "sizes", multiple=True, type=int, default=(5, 8, 32))
@click.option("--outer-steps", default=400, show_default=True, help="Of 5 tasks; fewer of more.")
def main(rounds: int, sizes: tuple[int, ...], outer_steps: int) -> None:
    columns = ("meta-batch", *FORMS, "two workers over one thread")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "glyphs"
        subprocess.run(
            [sys.executable, "-m", "supervised_reptile", "data", "glyphs", "--out", data],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        for size in sizes:
            steps = max(1, outer_steps * 5 // size)
            rates = np.array(
                [
                    [
                        outer_steps_per_second(form, size, steps, data, Path(folder) / "run")
                        for form in FORMS
                    ]
                    for _ in range(rounds)
                ]
            )  # [rounds, forms]
            speeds = (f"{speed:.3g}" for speed in np.median(rates, axis=0))
            rows.append((str(size), *speeds, f"{np.median(rates[:, 2] / rates[:, 0]):.2f}"))
    print(Table("Outer steps a second, Omniglot 5-way", columns, tuple(rows)).markdown())


if __name__ == "__main__":
    main()
