"""A contact sheet: a few images of several classes of each split, labelled, as one picture."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from supervised_reptile.data.official_sets import readable_name
from supervised_reptile.data.store import ImageStore
from supervised_reptile.data.summary import parts_of
from supervised_reptile.errors import counted, one_line
from supervised_reptile.system.atomic_files import writing

CLASSES = 6  # of each split, evenly spaced
IMAGES = 8  # of each class, evenly spaced
CELL = 84  # pixels a side of an image on the sheet
GAP = 4
LABEL_WIDTHS = 120, 480  # of the column of labels, the least and the most
HEADING = 34  # pixels above the rows of a split
LABEL_SIZE = 13  # of its font


def write_contact_sheet(store: ImageStore, path: Path) -> None:
    """Write the contact sheet of `store` as the PNG `path`.

    Raises:
      UserError: `path` cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        contact_sheet(store).save(path, format="PNG")


def contact_sheet(store: ImageStore) -> Image.Image:
    """The contact sheet, RGB."""
    parts = {name: (ids, spread(ids, CLASSES)) for name, ids in parts_of(store).items()}
    shown = [readable_name(store.names[label]) for _, labels in parts.values() for label in labels]
    left = label_width(shown)
    width = left + IMAGES * (CELL + GAP) + GAP
    height = len(parts) * HEADING + len(shown) * (CELL + GAP) + GAP
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    top = 0
    for name, (ids, labels) in parts.items():
        heading = (
            f"{name}: {counted(len(ids), 'class')}, {counted(store.counts[ids].sum(), 'image')}"
        )
        draw.text((GAP * 2, top + 9), heading, "black", sheet_font(17))
        top += HEADING
        for label in labels.tolist():
            draw_label(sheet, readable_name(store.names[label]), left, top)
            start, end = store.offsets[label : label + 2].tolist()
            for column, row in enumerate(spread(np.arange(start, end), IMAGES)):
                image = thumbnail(store.images[row], store.max_value)
                sheet.paste(image, (left + column * (CELL + GAP), top))
            top += CELL + GAP
    return sheet


def label_width(labels: Iterable[str]) -> int:
    """Pixels of a column that has room for the longest label, within LABEL_WIDTHS."""
    font, (least, most) = sheet_font(LABEL_SIZE), LABEL_WIDTHS
    widest = max((font.getlength(drawable(label)) for label in labels), default=0)
    return int(np.clip(widest + 4 * GAP + 1, least, most))


def draw_label(sheet: Image.Image, label: str, width: int, top: int) -> None:
    """A label at the left of the row of images at `top`, in a column of `width`."""
    font = sheet_font(LABEL_SIZE)
    text = fitting(label, font, width - 4 * GAP)
    ImageDraw.Draw(sheet).text((2 * GAP, top + CELL // 2 - 8), text, "black", font)


def thumbnail(image: np.ndarray, max_value: int) -> Image.Image:
    """uint8 [height, width, 1 or 3] as a picture of CELL x CELL."""
    shown = image if max_value == 255 else image * (255 // max_value)
    picture = Image.fromarray(shown[:, :, 0] if image.shape[2] == 1 else shown)
    # Small drawings keep their pixels; photographs larger than a cell are averaged.
    smaller = image.shape[0] < CELL
    filter_ = Image.Resampling.NEAREST if smaller else Image.Resampling.LANCZOS
    return picture.resize((CELL, CELL), filter_)


def fitting(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """The text as it can be drawn, shortened in its middle to `width` pixels."""
    text = drawable(text)
    kept = len(text)
    shown = text
    while font.getlength(shown) > width and kept > 1:
        kept -= 1
        shown = text[: kept - kept // 2] + "…" + text[len(text) - kept // 2 :]
    return shown


def drawable(text: str) -> str:
    """`text` with escapes, as in `\\u6587`, for what the font has no glyph of."""
    letters = unicodedata.normalize("NFC", one_line(text))
    known = _glyphs()
    return "".join(c if ord(c) in known else c.encode("unicode_escape").decode() for c in letters)


@cache
def sheet_font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings along: Pillow's own font knows ASCII only."""
    return ImageFont.truetype(_font_file(), size)


@cache
def _glyphs() -> frozenset[int]:
    """The characters that the font has."""
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(_font_file()).get_charmap())


def _font_file() -> str:
    import matplotlib

    return f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"


def spread(values: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of the values, evenly spaced over all of them."""
    picks = np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int)
    return values[picks]
