"""`reptile sweep SPACE.toml`: a hyper-parameter search. Needs the extra [sweep]."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import click

from supervised_reptile.config import COUNT, MOST_THREADS, Count, Rate
from supervised_reptile.errors import UserError, counted
from supervised_reptile.system.path_type import Place
from supervised_reptile.system.thread_pool import cores

# The last reads TOML, which Python does by itself from 3.11 on.
NEEDED = ("ray", "optuna", "cmaes", *("tomli",) * (sys.version_info < (3, 11)))
EPILOG = """\b
A SPACE.toml:
  [search]
  method = "random"              # grid, random, tpe or cma-es
  early-stopping = "asha"        # leave it out to train every trial to its end
  [space]                        # flags of the run script, without the dashes
  learning-rate = { log = [1e-4, 1e-2] }    # a range: log, linear, int or log-int
  inner-iters = { int = [3, 10] }
  meta-step = [0.5, 1.0]         # a list of choices; a grid has only lists
  [fixed]                        # what all trials share
  meta-iters = 2000
  val-classes = 100              # the classes that choose between the trials

\b
Examples:
  reptile sweep SPACE.toml --data-dir data/omniglot --trials 24 --out runs/sweep
  reptile sweep SPACE.toml --data-dir data/omniglot --trials 24 --out runs/sweep --resume
  reptile sweep SPACE.toml --data-dir /shared/omniglot --trials 200 --out /shared/sweep
      --address auto
  reptile compare runs/sweep/trials/*/ --split val
"""


@click.command(
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.argument("space", metavar="SPACE.toml", type=Place(dir_okay=False, path_type=Path))
@click.option("--data-dir", required=True, type=Place(), help="Directory of the images.")
@click.option(
    "--out",
    required=True,
    type=Place(file_okay=False, path_type=Path),
    help="Directory of the sweep; trials/ in it holds a run directory for each trial.",
)
@click.option(
    "--trials",
    type=COUNT,
    help="Number of trials; a grid has one for each of its points.",
)
@click.option(
    "--jobs",
    type=COUNT,
    help="Number of simultaneous trials, about 1 GB of memory each. By default one per available "
    "core; on a cluster, as many as fit.",
)
@click.option(
    "--threads",
    type=Count(1, MOST_THREADS),
    help="Number of CPU threads per trial. By default the cores are divided among the jobs; on a "
    "cluster, 1.",
)
@click.option(
    "--gpus",
    default=0.0,
    show_default=True,
    type=Rate(min=0),
    help="Number of GPUs per trial; 0.25 puts four trials on one GPU.",
)
@click.option(
    "--address",
    help="Address of a Ray cluster: auto on one of its machines, else ray://HOST:10001. All paths "
    "are then paths on the cluster, and its machines must share --out.",
)
@click.option("--resume", is_flag=True, help="Continue the sweep in --out.")
def sweep(
    space: Path,
    data_dir: str,
    out: Path,
    trials: int | None,
    jobs: int | None,
    threads: int | None,
    gpus: float,
    address: str | None,
    resume: bool,
) -> None:
    """Search hyper-parameters and rank them by accuracy on validation classes.

    SPACE.toml lists the flags of the run script to vary and the search method. Every trial is an
    ordinary run in a directory below --out, and never uses the test classes. The sweep writes a
    leaderboard (leaderboard.csv) and a figure (objective.png) and prints the best command line.

    After any interruption, the same command with --resume continues: finished trials are kept,
    unfinished ones continue from their checkpoints, and failed ones are tried again. Give more
    --trials to extend the search.
    """
    missing = [name for name in NEEDED if not importlib.util.find_spec(name)]
    if missing:
        raise UserError(f"{', '.join(missing)}: not installed; pip install '.[sweep]' has it")
    from supervised_reptile.sweep.space_file import read_space

    described = read_space(space)
    size = described.grid_size
    if size is None and trials is None:
        raise click.UsageError(f"--trials is missing: {described.method} search has no end")
    if size is not None and trials not in (None, size):
        raise click.UsageError(
            f"--trials {trials}: the grid has {counted(size, 'point')}; leave it out"
        )
    if not address:
        jobs = min(jobs or cores(), size or trials or 1)
        threads = threads or max(1, cores() // jobs)
    from supervised_reptile.sweep.conduct import run_sweep
    from supervised_reptile.sweep.trials import Plan

    place = str(Path(data_dir).absolute()), out.absolute()
    plan = Plan(described, *place, size or trials or 1, jobs, threads or 1, gpus, address)
    run_sweep(plan, resume)
