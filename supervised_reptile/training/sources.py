"""The kinds of data that experiments run on, each with the network that fits it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from supervised_reptile.config import Config

if TYPE_CHECKING:
    from supervised_reptile.data.dataset import Dataset
    from supervised_reptile.data.store import ImageStore


class Source(NamedTuple):
    """One kind of data."""

    command: str  # what starts it, for messages and run directories
    network: str  # name of the function in `models` that makes its network
    load: Callable[[Any], Any]  # config -> data
    image_shape: tuple[int, int, int] | None = None  # (height, width, channels), if always the same
    config: type[Config] = Config  # whose flags its command has
    program: str = (
        "supervised_reptile.training.experiment"  # the module whose `run_experiment` runs it
    )


def load_omniglot(config: Config) -> Dataset:
    """Omniglot, or anything in its layout, split by the seed."""
    from supervised_reptile.data import omniglot

    store = omniglot.open_omniglot_store(Path(config.data_dir))
    print_notes(store)
    return omniglot.split_omniglot(store, config.seed, config.val_classes)


def load_miniimagenet(config: Config) -> Dataset:
    """Mini-ImageNet in any layout, with its own training, validation and test classes."""
    from supervised_reptile.data import dataset, miniimagenet

    store = miniimagenet.open_miniimagenet(Path(config.data_dir))
    print_notes(store)
    return dataset.split_dataset(store)


def print_notes(store: ImageStore) -> None:
    """Say what was left out of a data set, which split it lacks and which images are blank."""
    from supervised_reptile.data.import_layout import notes_on
    from supervised_reptile.data.summary import blank_note

    for note in (*notes_on(store), blank_note(store)):
        if note:
            print(f"Note: {note}", file=sys.stderr)


OMNIGLOT = Source("run_omniglot.py", "omniglot_net", load_omniglot, (28, 28, 1))
MINIIMAGENET = Source("run_miniimagenet.py", "miniimagenet_net", load_miniimagenet, (84, 84, 3))
SOURCES = (OMNIGLOT, MINIIMAGENET)  # whose images always have the same shape
