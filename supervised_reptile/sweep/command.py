"""`reptile sweep SPACE.toml`: many runs with other hyper-parameters. Needs the extra [sweep]."""

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
@click.option("--data-dir", required=True, type=Place(), help="Where the images are.")
@click.option(
    "--out",
    required=True,
    type=Place(file_okay=False, path_type=Path),
    help="Folder of the sweep: trials/ holds a run directory for each trial.",
)
@click.option(
    "--trials",
    type=COUNT,
    help="How many to try. A grid has as many as it has points.",
)
@click.option(
    "--jobs",
    type=COUNT,
    help="Trials side by side, about 1 GB of memory each. By default the cores that this process "
    "may use; on a cluster, as many as there is room for.",
)
@click.option(
    "--threads",
    type=Count(1, MOST_THREADS),
    help="CPU threads of each trial. By default the cores are shared among the jobs; on a "
    "cluster, 1.",
)
@click.option(
    "--gpus",
    default=0.0,
    show_default=True,
    type=Rate(min=0),
    help="GPUs of each trial; 0.25 puts four trials on one.",
)
@click.option(
    "--address",
    help="A Ray cluster: auto on one of its machines, or ray://HOST:10001. Paths are then those "
    "of the cluster, and --out is shared by its machines.",
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
    """Try many hyper-parameters, and rank them by their accuracy on validation classes.

    SPACE.toml says which flags of the run script vary, and how to search. Every trial is an
    ordinary run, in a directory below --out; its test classes are left alone. At the end there
    are a leaderboard (leaderboard.csv), a figure (objective.png) and the best command line.

    Interrupted in whatever way, the same command with --resume continues: trials that ended are
    not run again, others go on from their checkpoints, and those that failed are tried again.
    With more --trials, the search goes further.
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
