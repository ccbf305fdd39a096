"""Pictures of any format and size as a trained network reads them. No TensorFlow.

Weights from Omniglot know black drawings on white paper: see `drawings`. All other weights read
pictures exactly as `reptile train` does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from supervised_reptile.data.layouts.decode_image import (
    INK_FROM_ALPHA,
    MIN_CONTRAST,
    RESIZE,
    STRETCHED_LEVELS,
    contrast,
    decode_whole,
    nothing_note,
    shows_nothing,
)
from supervised_reptile.data.layouts.layout import BrokenImage
from supervised_reptile.data.normalize_drawings import read_drawing
from supervised_reptile.errors import UserError, counted
from supervised_reptile.runs.snapshot import Snapshot
from supervised_reptile.system.progress_bar import Bar

# What can be changed in a picture, in words that complete "N of M pictures ...".
RESIZED = "brought to {height}x{width} pixels"
LEVELS = (STRETCHED_LEVELS, INK_FROM_ALPHA)
STRETCHED = "stretched to the weights' proportions"
PADDED = "given more paper, to be square"
INVERTED = "turned dark on light"
GREYED = "read in grey"

COLOURED = 16  # difference of two channels, 0 ... 255, from which a picture is not grey


@dataclass(frozen=True)
class Reader:
    """How a network's pictures are read."""

    shape: tuple[int, int, int]  # (height, width, channels)
    drawings: bool  # dark strokes on light paper

    @classmethod
    def of(cls, snapshot: Snapshot) -> Reader:
        """As the weights need it."""
        height, width, channels = snapshot.net["image_shape"]
        return cls((height, width, channels), snapshot.drawings)


class Picture(NamedTuple):
    """A picture that was read."""

    pixels: np.ndarray  # float32 [height, width, channels], 0 ... 1
    changes: tuple[str, ...]  # what was done to it, of the words above


def read_pictures(
    sources: Sequence[Path | Image.Image | bytes], reader: Reader
) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """Pictures, float32 [n, height, width, channels], and what was changed in each.

    Raises:
      UserError: one cannot be read.
    """
    bar = Bar(sources, "Reading", unit="picture", leave=False)
    pictures = [read_picture(source, reader, f"image {i}") for i, source in enumerate(bar)]
    pixels = np.array([p.pixels for p in pictures], np.float32).reshape(-1, *reader.shape)
    return pixels, [p.changes for p in pictures]


class BlankPictures(NamedTuple):
    """Which of some pictures show nothing."""

    rows: np.ndarray  # bool [n]
    note: str  # names them; "" where there are none


def blank_pictures(pixels: np.ndarray, sources: object) -> BlankPictures:
    """Which pictures show nothing, as the network sees them.

    Args:
      pixels: float32 [n, height, width, channels], 0 ... 1.
      sources: [n] of anything; what is no file is named by its index.
    """

    def name(row: int) -> object:
        source = sources[row] if isinstance(sources, Sequence) else None
        source = getattr(source, "filename", source)  # of a Pillow image
        return source if source and isinstance(source, str | Path) else f"image {row}"

    rows = shows_nothing(pixels, 1)
    return BlankPictures(rows, nothing_note(rows, name, "picture"))


def change_notes(changes: Sequence[Sequence[str]], reader: Reader) -> list[str]:
    """A sentence for each kind of change, with how many of the pictures it was made to."""
    counts = Counter(change for some in changes for change in some)
    height, width, _ = reader.shape
    return [
        f"{count} of {counted(len(changes), 'picture')} {'was' if count == 1 else 'were'} "
        + change.format(height=height, width=width)
        for change, count in sorted(counts.items())
    ]


def read_picture(
    source: Path | Image.Image | bytes, reader: Reader, name: str = "a picture"
) -> Picture:
    """One picture.

    Raises:
      UserError: it cannot be read; the message names the file, or where there is none `name`.
    """
    try:
        whole, changed = decode_whole(source, 3)
    except BrokenImage as error:
        file = source if isinstance(source, Path) else getattr(source, "filename", "")
        raise UserError(f"{file or name}: {error}") from error
    height, width, channels = reader.shape
    size = width, height
    changes = [*changed, *[RESIZED] * (whole.size != size)]
    if channels == 1:
        changes += [GREYED] * _has_colour(whole)
        whole = _in_grey(whole, reader.drawings)
    square = whole.width * height == whole.height * width
    if reader.drawings:
        pixels, inverted, stretched = read_drawing(whole, size)
        changes += [PADDED] * (not square) + [INVERTED] * inverted
        changes += [STRETCHED_LEVELS] * (stretched and STRETCHED_LEVELS not in changes)
        return Picture(pixels, tuple(changes))
    changes += [STRETCHED] * (not square)
    small = whole if whole.size == size else whole.resize(size, RESIZE)
    return Picture(np.asarray(small, np.float32).reshape(reader.shape) / 255, tuple(changes))


def _in_grey(picture: Image.Image, drawing: bool) -> Image.Image:
    """Its brightness; of a drawing with ink as bright as its paper the band that shows most."""
    grey, bands = picture.convert("L"), picture.split()
    if not drawing or contrast(grey) >= MIN_CONTRAST * 255:
        return grey
    best = max(bands, key=contrast)
    return best if contrast(best) >= MIN_CONTRAST * 255 else grey


def _has_colour(picture: Image.Image) -> bool:
    """Whether red, green and blue differ by more than JPEG makes of grey."""
    channels = np.asarray(picture, np.int16)
    return bool((channels.max(axis=2) - channels.min(axis=2)).max() > COLOURED)
