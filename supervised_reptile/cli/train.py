"""`reptile train DIR`: the paper's training on your own images."""

from __future__ import annotations

import click

from supervised_reptile.cli.run_command import run_command
from supervised_reptile.data.own_images import SHARES
from supervised_reptile.system.path_type import Place
from supervised_reptile.training.sources import OWN_IMAGES

EPILOG = """\b
Examples:
  {script} --shots 5 --train-shots 10 --inner-batch 10 --inner-iters 5
      --meta-step 1 --meta-step-final 0 --meta-batch 5 --meta-iters 10000
      --eval-samples 500 --checkpoint runs/mine --transductive
  {script} --checkpoint runs/mine --resume
  {script} --checkpoint runs/mine --shots 1 --both-modes --pretrained
"""


train = run_command(
    "Train and evaluate on your own images. DIR has one folder per class, or train/, val/ and "
    "test/ with such folders; it may be an archive.",
    OWN_IMAGES,
    parameters=(click.argument("data_dir", metavar="DIR", type=Place()),),
    omit=("data_dir", "val_classes"),
    epilog=EPILOG,
    split=",".join(map(str, SHARES)),
    skip_broken=False,
)
