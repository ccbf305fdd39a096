"""Folders of pictures that show nothing, for what reads pictures from disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def picture(chance: np.random.Generator, side: int, channels: int) -> Image.Image:
    shape = (side, side) if channels == 1 else (side, side, channels)
    return Image.fromarray(chance.integers(0, 256, shape, np.uint8))


def write_classes(root: Path, classes: int, side: int, channels: int = 3) -> Path:
    """`classes` folders of four pictures each."""
    chance = np.random.default_rng(0)
    for number in range(classes):
        folder = root / f"{root.name}{number:02d}"
        folder.mkdir(parents=True)
        for name in "abcd":
            picture(chance, side, channels).save(folder / f"{name}.png")
    return root


def write_miniimagenet(root: Path) -> Path:
    """A folder in Mini-ImageNet's layout: train, val and test of a few classes."""
    for split, classes in (("train", 4), ("val", 2), ("test", 3)):
        write_classes(root / split, classes, 84)
    return root
