#!/usr/bin/env python3
"""Makes the weights that come with the package, and their card, from a finished run.

The card says where the weights come from and how accurate they are: what the run's own
evaluations of its last outer step measured, and nothing else.

    reptile reproduce omniglot-5way --out runs/paper/omniglot-5way
    python tools/ship_weights.py runs/paper/omniglot-5way/seed-0
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import click

from supervised_reptile.cli.main import run as run_program
from supervised_reptile.errors import UserError
from supervised_reptile.flags import command_line
from supervised_reptile.runs.open_weights import open_snapshot
from supervised_reptile.runs.read_run import read_evaluations
from supervised_reptile.runs.snapshot import Snapshot, write_npz
from supervised_reptile.system import machine
from supervised_reptile.system.atomic_files import replacing, writing
from supervised_reptile.system.package_files import PRETRAINED, pretrained_weights
from supervised_reptile.system.path_type import Place

DATA = "Omniglot: 1,200 characters in four rotations for training, the other 423 for test"
LICENCE = "MIT, as this program's; Omniglot's drawings: MIT, (c) 2015 Brenden Lake"
# Where things were is nothing to tell; how often the run was saved decides nothing.
OMITTED = ("checkpoint", "data_dir", "threads", "save_interval", "pretrained")


@click.command(help=(__doc__ or "").replace("\n    ", "\n\n\b\n    ", 1))
@click.argument("run", type=Place(path_type=Path))
@click.option("--name", type=click.Choice(PRETRAINED), default=PRETRAINED[0], show_default=True)
@click.option(
    "--out",
    type=Place(file_okay=False, path_type=Path),
    default=pretrained_weights().parent,
    help="The folder to write to; by default the package's own.",
)
def main(run: Path, name: str, out: Path) -> None:
    snapshot = open_snapshot(run)
    accuracies = measured(run, snapshot)
    weights, card = out / f"{name}.npz", out / f"{name}.json"
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    write_npz(weights, snapshot)
    content = describe(name, snapshot, accuracies, weights)
    with writing(card), replacing(card) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf8")
    for entry in accuracies:
        mode, accuracy = entry["mode"].replace("_", "-"), entry["accuracy"]
        print(f"{entry['shots']}-shot, {mode}: {100 * accuracy['mean']:.2f}%")
    print(f"{weights}: {weights.stat().st_size:,} bytes")


def measured(run: Path, snapshot: Snapshot) -> list[dict[str, Any]]:
    """The accuracies on test classes that the run has of these very weights, by shots and mode.

    Where one was measured several times, that on the most episodes.

    Raises:
      UserError: training is not done, or nothing was measured after it.
    """
    wanted = snapshot.config.outer_steps
    if snapshot.outer_steps != wanted:
        raise UserError(f"{run}: is at outer step {snapshot.outer_steps:,} of {wanted:,}")
    found = {}
    for evaluation in read_evaluations(run):
        if evaluation["outer_steps"] != wanted:
            continue
        settings = evaluation["settings"]
        for mode, accuracies in evaluation["accuracy"].items():
            if "test" not in accuracies:
                continue
            entry = {"shots": settings["shots"], "mode": mode, "accuracy": accuracies["test"]}
            entry |= {key: settings[key] for key in ("eval_batch", "eval_steps", "eval_seed")}
            before = found.get((entry["shots"], mode))
            if not before or before["accuracy"]["episodes"] <= entry["accuracy"]["episodes"]:
                found[entry["shots"], mode] = entry
    if not found:
        raise UserError(f"{run}: has no evaluation of its last weights; give it --pretrained first")
    return [found[key] for key in sorted(found)]


def describe(
    name: str, snapshot: Snapshot, accuracies: list[dict[str, Any]], weights: Path
) -> dict[str, Any]:
    """The card."""
    return {
        "name": name,
        "task": f"{snapshot.config.way}-way few-shot classification of drawn characters",
        "data": DATA,
        "data_checksum": snapshot.data,
        "outer_steps": snapshot.outer_steps,
        "command": command_line("run_omniglot.py", snapshot.config, OMITTED),
        "test_accuracy": accuracies,
        "environment": machine.describe(),
        "licence": LICENCE,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
    }


if __name__ == "__main__":
    run_program(main)
