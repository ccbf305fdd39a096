"""`reptile omniglot` and `reptile miniimagenet`: what the two run scripts at the top level run."""

from __future__ import annotations

from supervised_reptile.cli_run import run_command
from supervised_reptile.sources import MINIIMAGENET, OMNIGLOT

omniglot = run_command(
    "run_omniglot.py",
    "Train and evaluate few-shot classifiers on Omniglot.",
    OMNIGLOT,
    data_dir="data/omniglot",
)

miniimagenet = run_command(
    "run_miniimagenet.py",
    "Train and evaluate few-shot classifiers on Mini-ImageNet.",
    MINIIMAGENET,
    omit=("val_classes",),
    data_dir="data/miniimagenet",
)
