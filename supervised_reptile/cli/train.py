"""`reptile train DIR`: the paper's training on your own images."""

from __future__ import annotations

from pathlib import Path

import click

from supervised_reptile.cli.run_command import run_command
from supervised_reptile.config import Config
from supervised_reptile.data.dataset import Dataset, split_dataset
from supervised_reptile.data.own_images import SHARES, open_folder
from supervised_reptile.system.path_type import Place
from supervised_reptile.training.sources import Source, print_notes

EPILOG = """\b
Examples:
  {script} --shots 5 --train-shots 10 --inner-batch 10 --inner-iters 5
      --meta-step 1 --meta-step-final 0 --meta-batch 5 --meta-iters 10000
      --eval-samples 500 --checkpoint runs/mine --transductive
  {script} --checkpoint runs/mine --resume
  {script} --checkpoint runs/mine --shots 1 --both-modes --pretrained
"""


def load(config: Config) -> Dataset:
    """The class folders in config.data_dir, divided by config.seed unless they are already."""
    shares = [float(share) for share in config.split.split(",")] if config.split else SHARES
    store = open_folder(
        Path(config.data_dir),
        config.image_size,
        config.grey,
        shares,
        config.seed,
        bool(config.skip_broken),
    )
    print_notes(store)
    return split_dataset(store)


train = run_command(
    "Train and evaluate on your own images: DIR holds a folder for each class, or train/, val/ "
    "and test/ with such folders; or it is an archive of these.",
    Source("reptile train DIR", "own_images_net", load),
    parameters=(click.argument("data_dir", metavar="DIR", type=Place()),),
    omit=("data_dir", "val_classes"),
    epilog=EPILOG,
    split=",".join(map(str, SHARES)),
    skip_broken=False,
)
