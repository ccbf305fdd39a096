#!/usr/bin/env python3
"""Measure training and evaluation, against the machine's limit and against what else there is.

Every line has a process of its own. Rounds are interleaved, so that a machine that drifts (others
use it too) slows everything alike. The table gives medians over rounds and their quartiles, in
units of work a second; "of peak" is the share of the float32 matrix product's speed measured in
the same rounds, which is the figure to compare between machines.

    python benchmarks/run.py                     everything (about ten minutes on two cores)
    python benchmarks/run.py --short             everything once, to see that it runs
    python benchmarks/run.py --setting omniglot-5way --rounds 9 --json figures.json
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import click
import numpy as np
from entries import PeerEntry, evaluation_entry, matrix_entry, training_entry
from peers import PEERS
from rounds import Make, Measured, measure
from setting import LENGTHS

from supervised_reptile.config import PRESETS

EPISODES = {"omniglot-5way": 32, "omniglot-20way": 8, "miniimagenet-5way": 4}
PRECISIONS = ("float32", "bfloat16")


def entries_of(name: str, peers: bool, threads: int, short: bool) -> list[Make]:
    """All lines of one setting, the matrix products first."""
    steps = 1 if short else LENGTHS[name]
    makes: list[Make] = [partial(matrix_entry, p, threads) for p in PRECISIONS]
    for precision in PRECISIONS:
        makes.append(partial(training_entry, name, precision, steps))
        makes.append(partial(evaluation_entry, name, precision, 2 if short else EPISODES[name]))
    if peers:
        makes += [PeerEntry(name, peer, max(1, steps // 6)) for peer in PEERS]
    return makes


def rows(setting: str, measured: list[Measured]) -> list[str]:
    """A setting's measurements as lines of the table."""
    speeds = [np.array(m.rates) / m.amount * m.flops for m in measured]  # [rounds] each
    lines = []
    for entry, speed in zip(measured, speeds, strict=True):
        low, median, high = np.percentile(entry.rates, [25, 50, 75])
        share = f"{np.median(speed / speeds[0]):.2f}" if entry.flops else ""
        lines.append(
            f"| {setting} | {entry.name} | {median:.3g} {entry.unit}/s "
            f"| {low:.3g} to {high:.3g} | {share} | {entry.peak_mib:.0f} MiB |"
        )
    return lines


def ratios(measured: list[Measured]) -> list[str]:
    """How many times as fast as each peer our training is, round by round."""
    ours = next(m for m in measured if m.name == "training, float32")
    lines = []
    for peer in (m for m in measured if m.name in PEERS):
        low, median, high = np.percentile(np.array(ours.rates) / peer.rates, [25, 50, 75])
        lines.append(
            f"ours, float32, is {median:.2f} times as fast ({low:.2f} to {high:.2f}) as {peer.name}"
        )
    return lines


@click.command(help=(__doc__ or "").replace("\n    ", "\n\n\b\n    ", 1))
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(min=1))
@click.option("--setting", "names", multiple=True, type=click.Choice(list(PRESETS)))
@click.option("--peers/--no-peers", default=True, show_default=True)
@click.option("--threads", default=0, help="CPU threads; 0 means all.")
@click.option("--short", is_flag=True, help="One short round of each.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write all figures there.")
def main(
    rounds: int, names: tuple[str, ...], peers: bool, threads: int, short: bool, out: Path | None
) -> None:
    figures, notes = {}, []
    click.echo("| setting | what | median | quartiles | of peak | memory |")
    click.echo("|---|---|---|---|---|---|")
    for name in names or (("omniglot-5way",) if short else tuple(PRESETS)):
        makes = entries_of(name, peers, threads, short)
        measured, missing = measure(makes, 1 if short else rounds, threads)
        click.echo("\n".join(rows(name, measured)))
        notes += ratios(measured)
        notes += [f"not installed, left out: {m} (pip install '.[peers]')" for m in missing]
        figures[name] = [m._asdict() for m in measured]
    click.echo("\n" + "\n".join(notes))
    if out:
        out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
