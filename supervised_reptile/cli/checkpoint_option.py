"""--checkpoint of the commands that use trained weights; see `open_weights.open_snapshot`."""

from __future__ import annotations

import click

from supervised_reptile.system.package_files import PRETRAINED
from supervised_reptile.system.path_type import Place

checkpoint_option = click.option(
    "--checkpoint",
    metavar="RUN",
    type=Place(),
    help="Trained weights: a run directory, an .npz export or the shipped weights "
    f"{' or '.join(PRETRAINED)}; by default {PRETRAINED[0]}.",
)
