"""The kinds of data that experiments run on, each with the network that fits it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from supervised_reptile.config import Config

if TYPE_CHECKING:
    from supervised_reptile.data.dataset import Dataset


class Source(NamedTuple):
    """One kind of data."""

    network: str  # name of the function in `models` that makes its network
    load: Callable[..., Dataset]  # (config, **values of its own parameters) -> data


def load_omniglot(config: Config) -> Dataset:
    """Omniglot, or anything in its layout, split by the seed."""
    from supervised_reptile.data import omniglot

    return omniglot.load_omniglot(Path(config.data_dir), config.seed, config.val_classes)


def load_miniimagenet(config: Config) -> Dataset:
    """Mini-ImageNet in any layout, with its own training, validation and test classes."""
    from supervised_reptile.data import dataset, miniimagenet

    return dataset.split_dataset(miniimagenet.open_miniimagenet(Path(config.data_dir)))


OMNIGLOT = Source("omniglot_net", load_omniglot)
MINIIMAGENET = Source("miniimagenet_net", load_miniimagenet)
