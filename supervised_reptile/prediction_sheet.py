"""A picture of a prediction: the examples of each class, then every query with its answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from supervised_reptile.data.contact_sheet import (
    CELL,
    GAP,
    HEADING,
    IMAGES,
    LABEL_WIDTH,
    fitting,
    spread,
    thumbnail,
)
from supervised_reptile.files import replacing, writing
from supervised_reptile.plots import COLORS
from supervised_reptile.predict import Prediction

ANSWER_WIDTH = 210  # pixels beside a query, for its answer
BAR_HEIGHT = 10
QUERY_COLUMNS = 3
MOST_QUERIES = 300  # a sheet of more would be too high to look at


def write_prediction_sheet(prediction: Prediction, path: Path) -> None:
    """Write it as the PNG `path`.

    Raises:
      UserError: `path` cannot be written.
    """
    with writing(path), replacing(path) as temporary:
        prediction_sheet(prediction).save(temporary, format="PNG")


def prediction_sheet(prediction: Prediction) -> Image.Image:
    """The sheet, RGB."""
    classes, shown = prediction.support.classes, min(len(prediction.queries), MOST_QUERIES)
    query_rows = -(-shown // QUERY_COLUMNS)
    height = 2 * HEADING + (len(classes) + query_rows) * (CELL + GAP) + GAP
    width = max(LABEL_WIDTH + IMAGES * (CELL + GAP), QUERY_COLUMNS * _query_width()) + 2 * GAP
    sheet = Image.new("RGB", (width, height), "white")
    _head(sheet, f"Examples, {len(classes)} classes", 0)
    top = HEADING
    for name in classes:
        _draw_class(sheet, prediction, name, top)
        top += CELL + GAP
    total = len(prediction.queries)
    _head(sheet, f"Queries, {total}" + f", the first {shown}" * (shown < total), top)
    for i in range(shown):
        row, column = divmod(i, QUERY_COLUMNS)
        place = 2 * GAP + column * _query_width(), top + HEADING + row * (CELL + GAP)
        _draw_query(sheet, prediction, i, place)
    return sheet


def _head(sheet: Image.Image, text: str, top: int) -> None:
    ImageDraw.Draw(sheet).text((2 * GAP, top + 9), text, "black", ImageFont.load_default(17))


def _draw_class(sheet: Image.Image, prediction: Prediction, name: str, top: int) -> None:
    """One row: the class's name, then some of its examples."""
    font = ImageFont.load_default(13)
    text = fitting(name, font, LABEL_WIDTH - 4 * GAP)
    ImageDraw.Draw(sheet).text((2 * GAP, top + CELL // 2 - 8), text, "black", font)
    rows = np.flatnonzero(np.array(prediction.support.labels) == name)
    for column, row in enumerate(spread(rows, IMAGES)):
        _paste(sheet, prediction.support_pixels[row], (LABEL_WIDTH + column * (CELL + GAP), top))


def _draw_query(sheet: Image.Image, prediction: Prediction, i: int, place: tuple[int, int]) -> None:
    """One query: how it was seen, the class it was given, the probability as a bar, its file."""
    (left, top), draw = place, ImageDraw.Draw(sheet)
    _paste(sheet, prediction.query_pixels[i], place)
    name, probability = prediction.answers[i]
    left, room = left + CELL + 2 * GAP, ANSWER_WIDTH - 2 * GAP
    large, small = ImageFont.load_default(14), ImageFont.load_default(11)
    draw.text((left, top + 8), fitting(name, large, room), "black", large)
    bar = room - 44  # the percentage stands to its right
    middle = top + 34
    draw.rectangle((left, middle, left + bar, middle + BAR_HEIGHT), fill="#e4e4e4")
    draw.rectangle((left, middle, left + bar * probability, middle + BAR_HEIGHT), fill=COLORS[0])
    draw.text((left + bar + 6, middle - 2), f"{100 * probability:.0f}%", "black", small)
    draw.text((left, top + 56), fitting(prediction.queries[i].name, small, room), "#555555", small)


def _paste(sheet: Image.Image, pixels: np.ndarray, place: tuple[int, int]) -> None:
    """A picture as the network sees it, in a frame so that white ones can be seen."""
    sheet.paste(thumbnail(np.rint(pixels * 255).astype(np.uint8), 255), place)
    (left, top), side = place, CELL - 1
    ImageDraw.Draw(sheet).rectangle((left, top, left + side, top + side), outline="#bbbbbb")


def _query_width() -> int:
    return CELL + ANSWER_WIDTH + 2 * GAP
