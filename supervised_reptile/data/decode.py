"""An image of any kind to a uint8 array of a wanted shape."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from supervised_reptile.data.items import BrokenImage, Content, foreign_content

# An image in any of the forms that are read here.
Encoded: TypeAlias = bytes | Path | np.ndarray | Image.Image

RESIZE = Image.Resampling.LANCZOS  # what MAML's preparation of Mini-ImageNet uses


@dataclass(frozen=True)
class PixelForm:
    """The shape that every image is brought to."""

    size: int  # height and width; images of another shape are stretched to it
    channels: int  # 1: grey, 3: red, green, blue

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.size, self.size, self.channels


def is_image_name(name: str) -> bool:
    """Whether a file of this name is to be read as an image: an ending Pillow knows, or none."""
    suffix = os.path.splitext(name)[1].lower()
    return not suffix or suffix in _known_endings()


def decode(content: Content, form: PixelForm) -> np.ndarray:
    """One image as uint8 [size, size, channels]: upright, on white where transparent.

    Raises:
      BrokenImage: it cannot be decoded, or should not be (Pillow's decompression-bomb limit).
    """
    if isinstance(content, BrokenImage):
        raise content
    whole = decode_whole(content, form.channels)
    if whole.size != (form.size, form.size):
        whole = whole.resize((form.size, form.size), RESIZE)
    return np.asarray(whole).reshape(form.shape)


def decode_whole(content: Encoded, channels: int) -> Image.Image:
    """As `decode`, in the image's own size; grey (L) for one channel, else RGB."""
    try:
        with open_image(content) as image:
            whole = _on_white(_eight_bits(_upright(image)))
            return whole.convert("L" if channels == 1 else "RGB")
    except BrokenImage:
        raise
    except Exception as error:  # Pillow raises nearly every kind of exception on damaged files
        raise BrokenImage(_reason(content, error)) from error


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


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey scaled to 8 bits, where Pillow's own conversion would clip at 255."""
    if image.mode == "F":
        raise BrokenImage("its pixels are floating-point numbers: save it with 8 or 16 bits")
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 0xFFFF:
        raise BrokenImage("its pixels have more than 16 bits: save it with 8 or 16 bits")
    return Image.fromarray(((values * 255 + 0x7FFF) // 0xFFFF).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    """Transparent parts shown on white paper."""
    if not image.has_transparency_data:
        return image
    paper = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(paper, image.convert("RGBA"))


def _reason(content: Encoded, error: Exception) -> str:
    head = b""
    if isinstance(content, Path):
        try:
            with content.open("rb") as file:
                head = file.read(256)
        except OSError as refused:
            return f"it cannot be read ({refused.strerror})"
    elif isinstance(content, bytes):
        head = content[:256]
    if isinstance(content, Path | bytes) and (known := foreign_content(head)):
        return known
    if isinstance(error, UnidentifiedImageError):
        return "it is not an image of any format that Pillow reads"
    return f"it cannot be decoded ({error})"


@cache
def _known_endings() -> frozenset[str]:
    return frozenset(Image.registered_extensions())


@cache
def _formats() -> tuple[str, ...]:
    """Pillow's formats, the likely ones first, without EPS: that runs Ghostscript on the file."""
    Image.init()
    likely = ("JPEG", "PNG")
    return (*likely, *(name for name in Image.OPEN if name not in (*likely, "EPS")))
