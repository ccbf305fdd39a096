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


def load_own_images(config: Config) -> Dataset:
    """The class folders in config.data_dir, divided by config.seed unless they are already."""
    from supervised_reptile.data import dataset, own_images

    split = config.split
    shares = [float(share) for share in split.split(",")] if split else own_images.SHARES
    store = own_images.open_folder(
        Path(config.data_dir),
        config.image_size,
        config.grey,
        shares,
        config.seed,
        bool(config.skip_broken),
    )
    print_notes(store)
    return dataset.split_dataset(store)


def source_of(data: Dataset | str | Path) -> Source:
    """The source that reads `data`: a data set as it is, or a path by what lies there."""
    from supervised_reptile.data.dataset import Dataset
    from supervised_reptile.data.official_sets import MINIIMAGENET as OFFICIAL
    from supervised_reptile.data.official_sets import kind_of
    from supervised_reptile.data.omniglot import holds_alphabets
    from supervised_reptile.data.open_any import open_any
    from supervised_reptile.data.store import is_store, open_store

    if isinstance(data, Dataset):
        return Source("supervised_reptile.train", "own_images_net", lambda _: data)
    path = Path(data)
    if is_store(path):
        store = open_store(path)
        return MINIIMAGENET if store.splits else OMNIGLOT
    if holds_alphabets(path):
        return OMNIGLOT
    return MINIIMAGENET if kind_of(open_any(path)) == OFFICIAL else OWN_IMAGES


def print_notes(store: ImageStore) -> None:
    """Say what was left out of a data set or changed, which split it lacks, what is blank."""
    from supervised_reptile.data.import_layout import notes_on
    from supervised_reptile.data.summary import blank_note

    for note in (*notes_on(store), blank_note(store)):
        if note:
            print(f"Note: {note}", file=sys.stderr)


OMNIGLOT = Source("run_omniglot.py", "omniglot_net", load_omniglot, (28, 28, 1))
MINIIMAGENET = Source("run_miniimagenet.py", "miniimagenet_net", load_miniimagenet, (84, 84, 3))
OWN_IMAGES = Source("reptile train DIR", "own_images_net", load_own_images)
SOURCES = (OMNIGLOT, MINIIMAGENET)  # whose images always have the same shape
