"""`reptile plot RUN...`: learning curves. Never imports TensorFlow."""

from __future__ import annotations

from pathlib import Path

import click

from supervised_reptile.analysis.learning_curves import HELD_OUT, SPLITS, plot_runs, read_curves
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
    help="The picture to write: .png, .svg or .pdf.",
)
@click.option(
    "--split",
    "splits",
    type=click.Choice((HELD_OUT, *SPLITS)),
    multiple=True,
    default=(HELD_OUT,),
    show_default=True,
    help="Whose accuracy; may be given several times. held-out is what training watches: the "
    "validation classes where there are some, else the test classes.",
)
def plot(runs: tuple[Path, ...], out: Path, splits: tuple[str, ...]) -> None:
    """Draw the learning curves of one or many run directories as one picture.

    Training looks at the accuracy on a few episodes every so often. Each look is a faint dot, the
    running mean over the nearest tenth of a run's looks a line with the run's name at its end.
    A run may still be at work. RUN is a run directory or a folder with runs below it; what is no
    run, or damaged, is skipped with a note.
    """
    if out.suffix.lower() not in FORMATS:
        raise click.BadParameter(f"{out} does not end in {', '.join(FORMATS)}", param_hint="--out")
    curves = read_runs_in(runs, lambda run: read_curves(run, splits))
    with writing(out):
        empty = plot_runs(curves, out)
    for name in empty:
        click.echo(f"left out, no accuracies yet: {name}", err=True)
    click.echo(f"wrote {out}")
