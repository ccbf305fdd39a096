"""One setting of the benchmark: sizes, made-up data and the work of an outer step.

Time does not depend on what the images show, so they are noise; every competitor trains
the same network on the same rows.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from supervised_reptile.config import PRESETS, Config
from supervised_reptile.data.dataset import ClassPool, Dataset

# Outer steps of one round: about a second of work on two cores.
LENGTHS = {"omniglot-5way": 30, "omniglot-20way": 8, "miniimagenet-5way": 3}


class Setting(NamedTuple):
    """What all competitors are given."""

    name: str
    config: Config
    dataset: Dataset
    pooling: bool  # Mini-ImageNet's network, else Omniglot's

    @property
    def filters(self) -> int:
        """Of each convolution."""
        return 32 if self.pooling else 64

    @property
    def images_per_step(self) -> int:
        """Training images of one outer step."""
        return self.config.meta_batch * self.config.inner_steps * self.config.inner_batch

    @property
    def flops_per_step(self) -> float:
        """Floating-point operations of an outer step: three forward passes for each image."""
        return 3.0 * self.images_per_step * sum(self._forward_flops())

    def _forward_flops(self) -> list[int]:
        height, width, channels = self.dataset.image_shape
        flops = []
        for _ in range(4):
            halved = -(-height // 2), -(-width // 2)
            outputs = height * width if self.pooling else math.prod(halved)
            flops.append(2 * 9 * channels * self.filters * outputs)
            channels, (height, width) = self.filters, halved
        return [*flops, 2 * height * width * channels * self.config.way]


def make_setting(name: str, precision: str = "float32") -> Setting:
    """The paper's setting `name` (a key of PRESETS) on images of noise."""
    pooling = name.startswith("mini")
    shape = (84, 84, 3) if pooling else (28, 28, 1)
    classes, per_class = (64, 100) if pooling else (1200, 20)
    images = np.random.default_rng(0).integers(0, 2, (classes * per_class, *shape), np.uint8)
    starts = np.arange(classes, dtype=np.int64) * per_class
    pool = ClassPool(starts, np.full(classes, per_class), ("",) * classes)
    config = Config(**PRESETS[name], precision=precision)
    return Setting(name, config, Dataset(images, 1, {"train": pool, "test": pool}, ""), pooling)
