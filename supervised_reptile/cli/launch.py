"""`reptile launch`: one training run by several processes of this machine."""

from __future__ import annotations

import sys

import click

from supervised_reptile.config import Count
from supervised_reptile.distributed.launch import launch

MOST_WORKERS = 256  # of one machine
EPILOG = """\b
Examples:
  reptile launch --workers 2 -- run_omniglot.py --meta-batch 8 --checkpoint runs/o55
  reptile launch --workers 3 -- run_omniglot.py --checkpoint runs/o55 --resume
  reptile launch --workers 2 -- reptile train DIR --meta-batch 8
"""


@click.command(
    "launch",
    help="Train with several processes on this machine. COMMAND is one of the run scripts or "
    "`reptile train`. The workers share the cores, every meta-batch and every evaluation. The "
    "result is that of one process up to the order of summation. --resume continues with any "
    "number of workers. For several machines see docs/scaling.md.",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--workers", type=Count(1, MOST_WORKERS), required=True, help="Number of processes to start."
)
@click.argument("command", nargs=-1, required=True, metavar="-- COMMAND...", type=click.UNPROCESSED)
@click.pass_context
def command(context: click.Context, workers: int, command: tuple[str, ...]) -> None:
    words = [sys.executable, *command] if command[0].endswith(".py") else list(command)
    context.exit(launch(words, workers))
