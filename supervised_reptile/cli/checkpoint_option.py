"""--checkpoint, where a command takes trained weights: `open_weights.open_snapshot` finds them."""

from __future__ import annotations

import click

from supervised_reptile.system.package_files import PRETRAINED
from supervised_reptile.system.path_type import Place

checkpoint_option = click.option(
    "--checkpoint",
    metavar="RUN",
    type=Place(),
    help="A run directory, weights exported as npz, or "
    f"{' or '.join(PRETRAINED)}, the name of those that come along; these by default.",
)
