"""Drawings of any kind as Omniglot's are: black strokes on white paper."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from supervised_reptile.data.decode import RESIZE

# Difference of ink and paper, 0 ... 1, below which nothing is drawn: JPEG's noise.
FAINT = 0.06


class Drawing(NamedTuple):
    """A drawing as a network reads it."""

    pixels: np.ndarray  # float32 [height, width, 1], 0 ink and 1 paper
    inverted: bool  # whether the strokes were lighter than their paper


def read_drawing(grey: Image.Image, size: tuple[int, int]) -> Drawing:
    """A drawing in shades of grey (mode L), brought to `size`, (width, height).

    The paper is what most of the border shows, once all pixels are divided into light and dark;
    the usual shade of each side becomes 0 or 1. What is not square gets more paper. Black and
    white without greys becomes smaller as Omniglot's drawings do, so those stay as they are.
    """
    if not (levels := _ink_and_paper(np.asarray(grey))):
        return Drawing(np.ones((size[1], size[0], 1), np.float32), False)
    two_tone = {level for _, level in grey.getcolors(2) or [(0, -1)]} <= {0, 255}
    square = _on_square_paper(grey, levels[1])
    if square.size != size:
        square = square.resize(size, Image.Resampling.NEAREST if two_tone else RESIZE)
    # Anew: thin strokes fade when they become smaller.
    if not (levels := _ink_and_paper(np.asarray(square))):
        return Drawing(np.ones((size[1], size[0], 1), np.float32), False)
    ink, paper = levels
    pixels = np.clip((np.asarray(square, np.float32) - ink) / (paper - ink), 0, 1)
    return Drawing(pixels[:, :, None], bool(ink > paper))


def _ink_and_paper(grey: np.ndarray) -> tuple[int, int] | None:
    """The usual shades of both, 0 ... 255; None where nothing is drawn. uint8 [height, width]."""
    light = grey > _threshold(grey)
    if light.all() or not light.any():
        return None
    border = np.concatenate([light[0], light[-1], light[1:-1, 0], light[1:-1, -1]])
    on_light = border.mean() >= 0.5
    ink, paper = (int(np.median(grey[light != on_light])), int(np.median(grey[light == on_light])))
    return (ink, paper) if abs(ink - paper) >= 255 * FAINT else None


def _threshold(grey: np.ndarray) -> int:
    """The shade up to which pixels are dark, that separates dark from light best (Otsu 1979)."""
    counts = np.bincount(grey.ravel(), minlength=256).astype(np.float64)
    dark = counts.cumsum()
    dark_sum = (counts * np.arange(256)).cumsum()
    light, light_sum = dark[-1] - dark, dark_sum[-1] - dark_sum
    with np.errstate(invalid="ignore", divide="ignore"):
        between = dark * light * (dark_sum / dark - light_sum / light) ** 2
    return int(np.argmax(np.nan_to_num(between)))


def _on_square_paper(grey: Image.Image, paper: int) -> Image.Image:
    """The drawing in the middle of a square."""
    side = max(grey.size)
    if grey.size == (side, side):
        return grey
    square = Image.new("L", (side, side), paper)
    square.paste(grey, ((side - grey.width) // 2, (side - grey.height) // 2))
    return square
