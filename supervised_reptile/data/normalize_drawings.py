"""Drawings of any kind as Omniglot's are: black strokes on white paper."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from supervised_reptile.data.layouts.decode_image import (
    MIN_CONTRAST,
    RESIZE,
    STRETCHED_LEVELS,
    Decoded,
    contrast,
    decode_whole,
    has_structure,
)

# Fainter drawings than MIN_CONTRAST have two shades at least so many levels apart. The share of
# the levels' variance that lies between them is 0.75 in gradients, and less in noise.
MIN_LEVELS = 2
MIN_BETWEEN = 0.8
MOST_NEAREST = 4  # times smaller (Omniglot: 3.75); further, strokes fall between pixels
FULL_CONTRAST = 0.9  # of the range, from which nobody needs to hear that it was stretched


class Drawing(NamedTuple):
    """A drawing as a network reads it."""

    pixels: np.ndarray  # float32 [height, width, 1], 0 ink and 1 paper
    inverted: bool  # whether the strokes were lighter than their paper
    stretched: bool  # whether they differed from it by less than FULL_CONTRAST


def read_drawing(grey: Image.Image, size: tuple[int, int]) -> Drawing:
    """A drawing in shades of grey (mode L), brought to `size`, (width, height).

    The paper is what most of the border shows, once all pixels are divided into light and dark;
    the usual shade of each side becomes 0 or 1. What is not square gets more paper. Two levels
    without others become smaller as Omniglot's drawings do, so those stay as they are; much larger
    ones, by averaging.
    """
    nothing = Drawing(np.ones((size[1], size[0], 1), np.float32), False, False)
    if not (levels := _ink_and_paper(np.asarray(grey))):
        return nothing
    stretched = _is_faint(levels)
    two_tone = grey.getcolors(2) is not None
    if two_tone or abs(levels[0] - levels[1]) < 255 * MIN_CONTRAST:
        grey = _full_contrast(grey, levels)  # resizing would round faint strokes away
        levels = (0, 255) if levels[0] < levels[1] else (255, 0)
    square = _on_square_paper(grey, levels[1])
    nearest = two_tone and square.width <= MOST_NEAREST * size[0]
    for filter_ in [Image.Resampling.NEAREST] * nearest + [RESIZE]:
        small = square if square.size == size else square.resize(size, filter_)
        # Again: thin strokes fade when they become smaller, or fall between the nearest pixels.
        if levels := _ink_and_paper(np.asarray(small)):
            ink, paper = levels
            pixels = np.clip((np.asarray(small, np.float32) - ink) / (paper - ink), 0, 1)
            return Drawing(pixels[:, :, None], bool(ink > paper), stretched)
    return nothing


def legible(image: Image.Image) -> Decoded:
    """A drawing of Omniglot's layout that conversion to one bit keeps: nearly always as it is.

    Those of numbers of more bits, and those with nothing to see in eight bits, are read as
    `decode_whole` does, and stretched: conversion to one bit dithers greys.
    """
    if image.mode == "1":
        return Decoded(image, ())
    deep = image.mode == "F" or image.mode.startswith("I")
    if not deep and contrast(image.convert("L")) >= 255 * MIN_CONTRAST:
        return Decoded(image, ())
    grey, changes = decode_whole(image, 1)
    if not (levels := _ink_and_paper(np.asarray(grey))):
        return Decoded(grey, changes)
    if _is_faint(levels) and STRETCHED_LEVELS not in changes:
        changes = (*changes, STRETCHED_LEVELS)
    return Decoded(_full_contrast(grey, levels), changes)


def _is_faint(levels: tuple[int, int]) -> bool:
    """Whether ink and paper differ by less than FULL_CONTRAST."""
    return abs(levels[0] - levels[1]) < 255 * FULL_CONTRAST


def _full_contrast(grey: Image.Image, levels: tuple[int, int]) -> Image.Image:
    """With its two usual shades as black and white."""
    dark, light = sorted(levels)
    table = np.clip(255 * (np.arange(256) - dark) / (light - dark), 0, 255).astype(np.uint8)
    return grey.point(table.tolist())


def _ink_and_paper(grey: np.ndarray) -> tuple[int, int] | None:
    """The usual shades of both, 0 ... 255; None where nothing is drawn. uint8 [height, width]."""
    threshold, between = _threshold(grey)
    light = grey > threshold
    if light.all() or not light.any():
        return None
    border = np.concatenate([light[0], light[-1], light[1:-1, 0], light[1:-1, -1]])
    on_light = border.mean() >= 0.5
    ink, paper = (int(np.median(grey[light != on_light])), int(np.median(grey[light == on_light])))
    if abs(ink - paper) < 255 * MIN_CONTRAST and not (
        abs(ink - paper) >= MIN_LEVELS and between >= MIN_BETWEEN and has_structure(grey)
    ):
        return None
    return ink, paper


def _threshold(grey: np.ndarray) -> tuple[int, float]:
    """The shade up to which pixels are dark, that separates dark from light best (Otsu 1979).

    Also the share of the variance that is then between dark and light, 0 ... 1.
    """
    counts = np.bincount(grey.ravel(), minlength=256).astype(np.float64)
    dark = counts.cumsum()
    dark_sum = (counts * np.arange(256)).cumsum()
    light, light_sum = dark[-1] - dark, dark_sum[-1] - dark_sum
    with np.errstate(invalid="ignore", divide="ignore"):
        between = dark * light * (dark_sum / dark - light_sum / light) ** 2
    best = int(np.argmax(np.nan_to_num(between)))
    return best, float(between[best] / dark[-1] ** 2 / (grey.var() or 1))


def _on_square_paper(grey: Image.Image, paper: int) -> Image.Image:
    """The drawing in the middle of a square."""
    side = max(grey.size)
    if grey.size == (side, side):
        return grey
    square = Image.new("L", (side, side), paper)
    square.paste(grey, ((side - grey.width) // 2, (side - grey.height) // 2))
    return square
