#!/usr/bin/env python3
"""Train and evaluate few-shot classifiers on Mini-ImageNet: python run_miniimagenet.py --help."""

from pathlib import Path

from supervised_reptile.cli import run
from supervised_reptile.cli_run import run_command
from supervised_reptile.config import Config
from supervised_reptile.data.dataset import Dataset, split_dataset
from supervised_reptile.data.miniimagenet import open_miniimagenet


def load(config: Config) -> Dataset:
    """Mini-ImageNet in any layout, with its own training, validation and test classes."""
    return split_dataset(open_miniimagenet(Path(config.data_dir)))


main = run_command(
    "run_miniimagenet.py",
    "Train and evaluate few-shot classifiers on Mini-ImageNet.",
    "miniimagenet_net",
    load,
    omit=("val_classes",),
    data_dir="data/miniimagenet",
)

if __name__ == "__main__":
    run(main)
