#!/usr/bin/env python3
"""Train and evaluate few-shot classifiers on Omniglot: python run_omniglot.py --help."""

from pathlib import Path

from supervised_reptile.cli import run
from supervised_reptile.cli_run import run_command
from supervised_reptile.config import Config
from supervised_reptile.data.dataset import Dataset
from supervised_reptile.data.omniglot import load_omniglot


def load(config: Config) -> Dataset:
    """Omniglot, or anything in its layout, split by the seed."""
    return load_omniglot(Path(config.data_dir), config.seed, config.val_classes)


main = run_command(
    "run_omniglot.py",
    "Train and evaluate few-shot classifiers on Omniglot.",
    "omniglot_net",
    load,
    data_dir="data/omniglot",
)

if __name__ == "__main__":
    run(main)
