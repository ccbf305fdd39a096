"""`reptile export`: trained weights for other programs."""

from __future__ import annotations

from pathlib import Path

import click

from supervised_reptile.cli.checkpoint_option import checkpoint_option
from supervised_reptile.errors import counted
from supervised_reptile.system.path_type import Place

FORMS = ("npz", "savedmodel", "web")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@checkpoint_option
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMS),
    required=True,
    help="npz: NumPy arrays and JSON; savedmodel: a TensorFlow SavedModel that can adapt; "
    "web: files of the browser demo.",
)
@click.option(
    "--out",
    type=Place(path_type=Path),
    required=True,
    help="Directory to write, new or empty.",
)
@click.option("--overwrite", is_flag=True, help="Replace an export in --out.")
def export(checkpoint: str | None, form: str, out: Path, overwrite: bool) -> None:
    """Export the weights and the Adam state of a run's newest checkpoint.

    Another program can adapt from them exactly as evaluation does here: same inner optimizer,
    same second moments, same step count. export.json describes the files and has their checksums.
    """
    from supervised_reptile.inference.export import write_export
    from supervised_reptile.runs.open_weights import open_snapshot

    snapshot = open_snapshot(checkpoint)
    write_export(out, snapshot, form, overwrite)
    click.echo(f"{out}: {form}, weights after {counted(snapshot.outer_steps, 'outer step')}")
