"""`reptile omniglot` and `reptile miniimagenet`: what the two run scripts at the top level run."""

from __future__ import annotations

from supervised_reptile.cli.run_command import run_command
from supervised_reptile.config import IMAGES, fields_of
from supervised_reptile.training.sources import MINIIMAGENET, OMNIGLOT

omniglot = run_command(
    "Train and evaluate few-shot classifiers on Omniglot.",
    OMNIGLOT,
    omit=fields_of(IMAGES),
    data_dir="data/omniglot",
)

miniimagenet = run_command(
    "Train and evaluate few-shot classifiers on Mini-ImageNet.",
    MINIIMAGENET,
    omit=("val_classes", *fields_of(IMAGES)),
    data_dir="data/miniimagenet",
)
