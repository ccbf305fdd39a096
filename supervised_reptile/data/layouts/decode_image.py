"""An image of any kind to a uint8 array of a wanted shape."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from supervised_reptile.data.layouts.layout import NO_FORMAT, BrokenImage, Content, foreign_content
from supervised_reptile.errors import counted, one_line

# An image in any of the forms that are read here.
Encoded: TypeAlias = bytes | Path | np.ndarray | Image.Image

HEIC_ENDINGS = (".heic", ".heics", ".heif", ".heifs", ".hif")
DOCUMENTS = frozenset(  # without an ending, beside images
    {
        "readme", "license", "licence", "copying", "notice", "authors", "changelog", "citation",
        "todo", "version", "makefile", "manifest", "checksums", "md5sums", "sha1sums", "sha256sums",
    }
)  # fmt: skip
# EPS runs Ghostscript on the file; the others Pillow recognises, but cannot decode.
NEVER_OPENED = ("EPS", "BUFR", "GRIB", "HDF5", "MPEG", "WMF")
RESIZE = Image.Resampling.LANCZOS  # what MAML's preparation of Mini-ImageNet uses

# What can be changed in an image's levels, in words that complete "N of M pictures were ...".
STRETCHED_LEVELS = "stretched from low to full contrast"
INK_FROM_ALPHA = "read from the transparency alone, as nothing else shows a shape"

DECODER = 2  # part of the cache's keys: another number where some files give other pixels

# Share of the range, 0 ... 1, below which differences show nothing: JPEG's noise.
MIN_CONTRAST = 0.06
# White in images that have fewer levels than their type: masks, 8, 10 and 12 bits.
WHITE_LEVELS = (1, 0xFF, 0x3FF, 0xFFF, 0xFFFF)

MOST_NAMED = 3  # images that a note names


@dataclass(frozen=True)
class PixelForm:
    """The shape that every image is brought to."""

    size: int  # height and width; images of another shape are stretched to it
    channels: int  # 1: grey, 3: red, green, blue

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.size, self.size, self.channels


def may_be_image(name: str) -> bool:
    """Whether people mean a file of this name to be an image, whether or not it can be read."""
    ending = _ending(name)
    if not ending:
        return name.rpartition("/")[2].lower() not in DOCUMENTS
    return ending in _known_endings() or ending in HEIC_ENDINGS


def left_out_reason(name: str, read: Callable[[], Content]) -> str | None:
    """Why a file is not to be read as an image; None where it is.

    Its ending decides; only where it has none its content does, which `read()` returns.
    """
    ending = _ending(name)
    if ending in _known_endings():
        return None
    if ending in HEIC_ENDINGS:
        return f"{ending} file{{s}}: install pillow-heif to read {{them}}"
    is_image = not ending and may_be_image(name) and _is_image(read())
    return None if is_image else NO_FORMAT


class Decoded(NamedTuple):
    """An image in its own size, and what was changed in its levels."""

    image: Image.Image  # L or RGB
    changes: tuple[str, ...]  # of the words above


def decode(content: Content, form: PixelForm) -> tuple[np.ndarray, tuple[str, ...]]:
    """One image as uint8 [size, size, channels], and what was changed in its levels.

    It is turned upright, and put on white where it is transparent.

    Raises:
      BrokenImage: it cannot be decoded, or should not be (Pillow's decompression-bomb limit).
    """
    if isinstance(content, BrokenImage):
        raise content
    whole, changes = decode_whole(content, form.channels)
    if whole.size != (form.size, form.size):
        whole = whole.resize((form.size, form.size), RESIZE)
    return np.asarray(whole).reshape(form.shape), changes


def decode_whole(content: Encoded, channels: int) -> Decoded:
    """As `decode`, in the image's own size; grey (L) for one channel, else RGB.

    Levels are kept, in the dark too, unless they cannot have been meant: masks of 0 and 1,
    images of 8, 10 or 12 bits in a type of more, and pale images that only transparency shapes.
    """
    try:
        with open_image(content) as image:
            eight, deep = _eight_bits(_upright(image))
            opaque, alpha = _on_white(eight)
            whole, mask = _mask_stretched(opaque.convert("L" if channels == 1 else "RGB"))
            changes = [STRETCHED_LEVELS] * (deep or mask) + [INK_FROM_ALPHA] * alpha
            return Decoded(whole, tuple(changes))
    except BrokenImage:
        raise
    except Exception as error:  # Pillow raises nearly every kind of exception on damaged files
        raise broken(content, error) from error


def shows_nothing(images: np.ndarray, white: float) -> np.ndarray:
    """Which images have no channel with a contrast of MIN_CONTRAST: bool [n].

    Args:
      images: [n, height, width, channels] of any type.
      white: the value that stands for 1.0.
    """
    blank = _is_blank(images[:, ::8], white)  # enough for nearly all of them
    blank[blank] = _is_blank(images[blank], white)
    return blank


def _is_blank(images: np.ndarray, white: float) -> np.ndarray:
    n, height, width, channels = images.shape
    rows = images.reshape(n, height, width * channels)  # NumPy is slow along short axes
    high, low = (
        edge(edge(rows, axis=1).reshape(n, width, channels), axis=1).astype(np.float64)
        for edge in (np.max, np.min)
    )
    return (high - low).max(axis=1) < MIN_CONTRAST * white


def nothing_note(blank: np.ndarray, name_of: Callable[[int], object], kind: str) -> str:
    """Which images show nothing, in a sentence; "" where none.

    Args:
      blank: as of `shows_nothing`.
      name_of: number of an image -> its name; asked for the first ones only.
      kind: what one is called: "picture".
    """
    if not (rows := np.flatnonzero(blank).tolist()):
        return ""
    names = [str(name_of(row)) for row in rows[:MOST_NAMED]]
    verb = "shows" if len(rows) == 1 else "show"
    return f"{len(rows):,} of {counted(len(blank), kind)} {verb} nothing: " + _some(
        names, len(rows)
    )


def changes_notes(changed: Mapping[str, tuple[int, Sequence[str]]], total: int) -> list[str]:
    """A sentence for each kind of change, by (how many images, the names of the first ones)."""
    return [
        f"{count:,} of {counted(total, 'image')} {'was' if count == 1 else 'were'} {change}: "
        + _some(names, count)
        for change, (count, names) in sorted(changed.items())
    ]


def _some(names: Sequence[str], count: int) -> str:
    """The first names of `count`, and how many more there are."""
    shown = one_line(", ".join(names[:MOST_NAMED]))
    return shown + (f" and {count - MOST_NAMED:,} more" if count > MOST_NAMED else "")


def contrast(image: Image.Image) -> int:
    """The largest difference of levels in one band."""
    return int(np.ptp(np.reshape(image.getextrema(), (-1, 2)), axis=1).max())


def has_structure(levels: np.ndarray) -> bool:
    """Whether neighbouring pixels are alike, as they are in no noise; [height, width]."""
    centred = levels - levels.mean(dtype=np.float64)
    if not (variance := np.square(centred).mean()) or min(levels.shape) < 2:
        return False
    neighbours = (
        (centred[1:], centred[:-1]),
        (centred[:, 1:], centred[:, :-1]),
        (centred[1:, 1:], centred[:-1, :-1]),
        (centred[1:, :-1], centred[:-1, 1:]),
    )
    correlation = np.mean([(a * b).mean() for a, b in neighbours]) / variance
    return bool(correlation > 0.1 + 1 / min(levels.shape))  # more by chance in small images


def open_image(content: Encoded) -> Image.Image:
    """The image, its pixels not decoded yet.

    Raises:
      BrokenImage: it has more pixels than Pillow's decompression-bomb limit.
      Exception: whatever else Pillow finds wrong with it.
    """
    if isinstance(content, Image.Image):
        return content.copy()
    if isinstance(content, np.ndarray):
        return Image.fromarray(content)
    source = BytesIO(content) if isinstance(content, bytes) else content
    image = Image.open(source, formats=_formats())
    pixels, limit = image.width * image.height, Image.MAX_IMAGE_PIXELS
    if limit and pixels > limit:  # Pillow itself only warns up to twice the limit
        image.close()
        raise BrokenImage(f"its {pixels:,} pixels exceed Pillow's decompression-bomb limit")
    return image


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF orientation says."""
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    except Exception:  # damaged EXIF says nothing about the pixels
        turned = False
    return ImageOps.exif_transpose(image) if turned else image


def _eight_bits(image: Image.Image) -> tuple[Image.Image, bool]:
    """Numbers of more bits as 8 bits, and whether they had fewer levels than their type.

    Pillow's own conversion would clip at 255.
    """
    if image.mode != "F" and not image.mode.startswith("I"):
        return image, False
    values = np.asarray(image).astype(np.float64)
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= WHITE_LEVELS[-1]):  # also where they are no numbers
        raise BrokenImage("its pixels are not within 0 and 65,535: save it with 8 or 16 bits")
    white = next(white for white in WHITE_LEVELS if high <= white)
    usual = 1 if image.mode == "F" else WHITE_LEVELS[-1]
    if white == 1 and not has_structure(values):
        white = usual
    scaled = np.floor((values * 255 + white / 2) / white).astype(np.uint8)
    return Image.fromarray(scaled), white != usual


def _on_white(image: Image.Image) -> tuple[Image.Image, bool]:
    """Transparent parts shown on white paper, and whether only these show anything."""
    if not image.has_transparency_data:
        return image, False
    paper = Image.new("RGBA", image.size, "white")
    coloured = image.convert("RGBA")
    opaque = Image.alpha_composite(paper, coloured)
    alpha, _ = _mask_stretched(coloured.getchannel("A"))
    if contrast(opaque) < MIN_CONTRAST * 255 <= contrast(alpha):
        return ImageOps.invert(alpha), True
    return opaque, False


def _mask_stretched(image: Image.Image) -> tuple[Image.Image, bool]:
    """Black and white for levels of 0 and 1 (L or RGB), and whether there were such."""
    if np.max(image.getextrema()) != 1:
        return image, False
    levels = np.asarray(image).reshape(image.height, image.width, -1)
    if not has_structure(levels.max(axis=2)):  # black, but for a compression's noise
        return image, False
    return image.point(lambda level: 255 * level), True


def broken(content: Encoded | Content, error: Exception) -> BrokenImage:
    """Why an image cannot be decoded, of which Pillow says `error`."""
    head = b""
    if isinstance(content, Path):
        try:
            with content.open("rb") as file:
                head = file.read(256)
        except OSError as refused:
            return BrokenImage(f"it cannot be read ({refused.strerror})")
    elif isinstance(content, bytes):
        head = content[:256]
    if isinstance(content, Path | bytes) and (known := foreign_content(head)):
        return BrokenImage(known)
    if isinstance(error, UnidentifiedImageError):
        if b"ftyp" in head[:8] and (b"heic" in head or b"heix" in head):
            return BrokenImage("it is a HEIC image: install pillow-heif to read it")
        return BrokenImage("it is not an image of any format that Pillow reads")
    return BrokenImage(f"it cannot be decoded ({error})")


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _is_image(content: Content) -> bool:
    """Whether a format can be recognised; what cannot be read at all is left for decoding."""
    if isinstance(content, BrokenImage):
        return True
    try:
        with open_image(content):
            return True
    except UnidentifiedImageError:
        return False
    except Exception:  # of whatever kind: see `decode`
        return True


@cache
def _known_endings() -> frozenset[str]:
    formats = frozenset(_formats())
    return frozenset(e for e, name in Image.registered_extensions().items() if name in formats)


@cache
def _formats() -> tuple[str, ...]:
    """The formats that can be decoded, the likely ones first."""
    Image.init()
    with contextlib.suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()
    likely = ("JPEG", "PNG")
    return (*likely, *(name for name in Image.OPEN if name not in (*likely, *NEVER_OPENED)))
