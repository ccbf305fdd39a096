"""`reptile plot RUN...`: learning curves. Never imports TensorFlow."""

from __future__ import annotations

from pathlib import Path

import click

from supervised_reptile.analysis.learning_curves import HELD_OUT, plot_runs, read_curves
from supervised_reptile.data.dataset import SPLIT_NAMES
from supervised_reptile.runs.read_run import read_runs_in
from supervised_reptile.system.atomic_files import writing
from supervised_reptile.system.path_type import Place

EPILOG = """\b
Examples:
  reptile plot runs/o55
  reptile plot runs/sweep/trials/*/ --out sweep.png
  reptile plot runs/o55 runs/foml --split train --split held-out --out both.pdf
"""
FORMATS = (".png", ".svg", ".pdf")


@click.command(
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=Place(path_type=Path))
@click.option(
    "--out",
    type=Place(path_type=Path),
    default="learning_curves.png",
    show_default=True,
    help="Figure to write: .png, .svg or .pdf.",
)
@click.option(
    "--split",
    "splits",
    type=click.Choice((HELD_OUT, *SPLIT_NAMES)),
    multiple=True,
    default=(HELD_OUT,),
    show_default=True,
    help="Classes whose accuracy to plot; may be repeated. held-out: the validation classes if "
    "the run has any, else the test classes.",
)
def plot(runs: tuple[Path, ...], out: Path, splits: tuple[str, ...]) -> None:
    """Plot the learning curves of one or more runs in one figure.

    Each evaluation during training is a faint dot. The line is the running mean over the nearest
    tenth of a run's evaluations, with the run's name at its end. Runs may still be training.

    RUN is a run directory or a folder that contains runs. Damaged runs and other folders are
    skipped with a note.
    """
    if out.suffix.lower() not in FORMATS:
        raise click.BadParameter(f"{out} does not end in {', '.join(FORMATS)}", param_hint="--out")
    curves = read_runs_in(runs, lambda run: read_curves(run, splits))
    with writing(out):
        empty = plot_runs(curves, out)
    for name in empty:
        click.echo(f"left out, no accuracies yet: {name}", err=True)
    click.echo(f"wrote {out}")
