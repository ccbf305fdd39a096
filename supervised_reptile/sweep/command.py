"""`reptile sweep SPACE.toml`: a hyper-parameter search. Needs the extra [sweep]."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import click

from supervised_reptile.config import COUNT, MOST_THREADS, Count, Rate
from supervised_reptile.distributed.ray_cluster import ENVIRONMENT
from supervised_reptile.errors import UserError
from supervised_reptile.system.path_type import Place
from supervised_reptile.system.thread_pool import cores

NEEDED = ("ray", "optuna", "cmaes")
EPILOG = """\b
Examples:
  reptile sweep docs/sweep-omniglot.toml --data-dir data/omniglot --trials 24 --out runs/sweep
  reptile sweep SPACE.toml --data-dir data/omniglot --trials 24 --out runs/sweep --resume
  reptile compare runs/sweep/trials/*/ --split val
"""
OUT, THREADS, GPUS = Place(file_okay=False, path_type=Path), Count(1, MOST_THREADS), Rate(min=0)
HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.command(epilog=EPILOG, context_settings=HELP)
@click.argument("space", metavar="SPACE.toml", type=Place(dir_okay=False, path_type=Path))
@click.option("--data-dir", required=True, type=Place(), help="Directory of the images.")
@click.option("--out", required=True, type=OUT, help="Directory of the sweep and its runs.")
@click.option("--trials", type=COUNT, help="Number of trials; a grid has one for each point.")
@click.option("--jobs", type=COUNT, help="Trials at once, 1 GB each; by default one per core.")
@click.option("--threads", type=THREADS, help="CPU threads per trial; by default cores / jobs.")
@click.option("--gpus", default=0.0, show_default=True, type=GPUS, help="GPUs per trial, or parts.")
@click.option("--ray-address", help="Ray cluster to use: auto on it, else ray://HOST:10001.")
@click.option("--resume", is_flag=True, help="Continue the sweep in --out.")
def sweep(space: Path, data_dir: str, out: Path, resume: bool, **sizes: Any) -> None:
    """Search hyper-parameters and rank them by accuracy on validation classes.

    SPACE.toml lists flags of the run script to vary, and the search method (docs/sweeps.md). Every
    trial is an ordinary run in OUT/trials, and never uses the test classes. The sweep writes
    leaderboard.csv and objective.png, and prints the best trial's command line.

    With --resume, finished trials are kept, unfinished ones continue from their checkpoints, and
    failed ones are tried again. All machines of a cluster must share --data-dir and --out.
    """
    if missing := [name for name in NEEDED if not importlib.util.find_spec(name)]:
        raise UserError(f"{', '.join(missing)}: not installed; pip install '.[sweep]' has it")
    from supervised_reptile.sweep.space import Sweep, read_space

    described, jobs, trials = read_space(space), sizes["jobs"], sizes["trials"]
    if described.search["method"] == "grid":
        points = len(described.first)
        if trials not in (None, points):
            raise click.UsageError(f"--trials {trials}: the grid has {points} points")
        trials = points
    if trials is None:
        raise click.UsageError("--trials is missing: only a grid has an end")
    if (address := sizes["ray_address"]) == "":  # of an unset shell variable
        raise click.UsageError("--ray-address is empty; auto is the cluster of this machine")
    if not address:
        jobs = min(jobs or cores(), trials)
    threads = sizes["threads"] or (1 if address else max(1, cores() // jobs))
    os.environ.update(ENVIRONMENT)  # Ray reads it when it is imported
    from supervised_reptile.sweep.run_sweep import run_sweep

    places = str(Path(data_dir).absolute()), out.absolute()
    plan = Sweep(described, *places, trials, jobs, threads, sizes["gpus"], address)
    run_sweep(plan, resume)
