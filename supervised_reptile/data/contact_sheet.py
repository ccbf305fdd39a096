"""A contact sheet: a few images of several classes of each split, labelled, as one picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from supervised_reptile.data.official import readable_name
from supervised_reptile.data.store import ImageStore
from supervised_reptile.data.summary import parts_of
from supervised_reptile.errors import one_line
from supervised_reptile.files import writing

CLASSES = 6  # of each split, evenly spaced
IMAGES = 8  # of each class, evenly spaced
CELL = 84  # pixels a side of an image on the sheet
GAP = 4
LABEL_WIDTH = 240
HEADING = 34  # pixels above the rows of a split

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont  # whichever Pillow was built with


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
    parts = parts_of(store)
    rows = sum(min(CLASSES, len(ids)) for ids in parts.values())
    width = LABEL_WIDTH + IMAGES * (CELL + GAP) + GAP
    sheet = Image.new("RGB", (width, len(parts) * HEADING + rows * (CELL + GAP) + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    top = 0
    for name, ids in parts.items():
        heading = f"{name}: {len(ids):,} classes, {store.counts[ids].sum():,} images"
        draw.text((GAP * 2, top + 9), heading, "black", ImageFont.load_default(17))
        top += HEADING
        for label in spread(ids, CLASSES):
            _draw_class(sheet, store, int(label), top)
            top += CELL + GAP
    return sheet


def _draw_class(sheet: Image.Image, store: ImageStore, label: int, top: int) -> None:
    """One row: the class's name, then some of its images."""
    font = ImageFont.load_default(13)
    text = fitting(readable_name(store.names[label]), font, LABEL_WIDTH - 4 * GAP)
    ImageDraw.Draw(sheet).text((GAP * 2, top + CELL // 2 - 8), text, "black", font)
    rows = spread(np.arange(store.offsets[label], store.offsets[label + 1]), IMAGES)
    for column, row in enumerate(rows):
        shown = thumbnail(store.images[row], store.max_value)
        sheet.paste(shown, (LABEL_WIDTH + column * (CELL + GAP), top))


def thumbnail(image: np.ndarray, max_value: int) -> Image.Image:
    """uint8 [height, width, 1 or 3] as a picture of CELL x CELL."""
    shown = image if max_value == 255 else image * (255 // max_value)
    picture = Image.fromarray(shown[:, :, 0] if image.shape[2] == 1 else shown)
    # Small drawings keep their pixels; photographs larger than a cell are averaged.
    smaller = image.shape[0] < CELL
    filter_ = Image.Resampling.NEAREST if smaller else Image.Resampling.LANCZOS
    return picture.resize((CELL, CELL), filter_)


def fitting(text: str, font: Font, width: int) -> str:
    """As much of the text as `width` pixels have room for."""
    text = one_line(text)
    while font.getlength(text) > width:
        text = text.rstrip("…")[:-1] + "…"
    return text


def spread(values: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of the values, evenly spaced over all of them."""
    picks = np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int)
    return values[picks]
