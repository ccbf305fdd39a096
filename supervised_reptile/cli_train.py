"""`reptile train DIR`: the paper's training on your own images."""

from __future__ import annotations

from pathlib import Path

import click

from supervised_reptile.cli_run import run_command
from supervised_reptile.config import MOST_PIXELS, Config, Count
from supervised_reptile.data.dataset import Dataset, split_dataset
from supervised_reptile.data.folder import open_folder
from supervised_reptile.place import Place
from supervised_reptile.sources import Source, print_notes

EPILOG = """\b
Examples:
  {script} DIR --shots 5 --train-shots 10 --inner-batch 10 --inner-iters 5
      --meta-step 1 --meta-step-final 0 --meta-batch 5 --meta-iters 10000
      --eval-samples 500 --checkpoint runs/mine --transductive
  {script} DIR --checkpoint runs/mine --resume
  {script} DIR --checkpoint runs/mine --shots 1 --both-modes --pretrained
"""


class Shares(click.ParamType):
    """Three shares of the classes, as in 0.64,0.16,0.2."""

    name = "train,val,test"

    def convert(self, value, param, ctx) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            shares = tuple(float(share) for share in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not three numbers with commas between them", param, ctx)
        if len(shares) != 3 or min(shares) < 0 or not abs(sum(shares) - 1) <= 1e-6:
            self.fail(f"{value!r}: give three shares that add up to 1", param, ctx)
        return shares


def load(
    config: Config,
    image_size: int | None,
    grey: bool | None,
    split: tuple[float, ...],
    skip_broken: bool,
) -> Dataset:
    """The class folders in config.data_dir, divided by config.seed unless they are already."""
    store = open_folder(Path(config.data_dir), image_size, grey, split, config.seed, skip_broken)
    print_notes(store)
    return split_dataset(store)


train = run_command(
    "reptile train",
    "Train and evaluate on your own images: DIR holds a folder for each class, or train/, val/ "
    "and test/ with such folders.",
    Source("own_images_net", load),
    parameters=(
        click.argument("data_dir", metavar="DIR", type=Place()),
        click.option(
            "--image-size",
            type=Count(8, MOST_PIXELS),
            help="Pixels a side; by default the images' own if all are alike, at most 84.",
        ),
        click.option(
            "--grey/--colour",
            default=None,
            help="One channel or three; by default grey where every image is.",
        ),
        click.option(
            "--split",
            type=Shares(),
            default="0.64,0.16,0.2",
            show_default=True,
            help="Shares of the classes for training, validation and test; drawn by --seed.",
        ),
        click.option(
            "--skip-broken", is_flag=True, help="Leave broken images out instead of stopping."
        ),
    ),
    omit=("data_dir", "val_classes"),
    epilog=EPILOG,
)
