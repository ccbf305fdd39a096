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
    help="npz: arrays and JSON; savedmodel: TensorFlow's, adapts itself; web: for the demo.",
)
@click.option(
    "--out",
    type=Place(path_type=Path),
    required=True,
    help="The folder to write: new, or empty.",
)
@click.option("--overwrite", is_flag=True, help="Replace an export that is already there.")
def export(checkpoint: str | None, form: str, out: Path, overwrite: bool) -> None:
    """Write the weights and Adam's state of a run's newest checkpoint.

    With them any program continues exactly as evaluation does here: inner steps of the same
    optimizer, from the same second moments and time. export.json describes them and has the
    checksums of all files.
    """
    from supervised_reptile.inference.export import write_export
    from supervised_reptile.runs.open_weights import open_snapshot

    snapshot = open_snapshot(checkpoint)
    write_export(out, snapshot, form, overwrite)
    click.echo(f"{out}: {form}, weights after {counted(snapshot.outer_steps, 'outer step')}")
