"""A picture of a prediction: the examples of each class, then every query with its answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from supervised_reptile.analysis.plots import COLORS
from supervised_reptile.data.contact_sheet import (
    CELL,
    GAP,
    HEADING,
    IMAGES,
    draw_label,
    drawable,
    fitting,
    label_width,
    sheet_font,
    spread,
    thumbnail,
)
from supervised_reptile.errors import counted
from supervised_reptile.inference.predict import NOTHING, Prediction
from supervised_reptile.system.atomic_files import replacing, writing

ANSWER_WIDTHS = 210, 420  # pixels beside a query, for its answer, the least and the most
CLASS_SIZE, FILE_SIZE = 14, 11  # of the fonts there
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
    left, beside = label_width(classes), _answer_width(prediction, shown)
    step = CELL + beside + 2 * GAP
    width = max(left + IMAGES * (CELL + GAP), QUERY_COLUMNS * step) + 2 * GAP
    sheet = Image.new("RGB", (width, height), "white")
    _head(sheet, f"Examples, {counted(len(classes), 'class')}", 0)
    top = HEADING
    for name in classes:
        draw_label(sheet, name, left, top)
        rows = np.flatnonzero(np.array(prediction.support.labels) == name)
        for column, row in enumerate(spread(rows, IMAGES)):
            _paste(sheet, prediction.support_pixels[row], (left + column * (CELL + GAP), top))
        top += CELL + GAP
    total = len(prediction.queries)
    _head(sheet, f"Queries, {total}" + f", the first {shown}" * (shown < total), top)
    for i in range(shown):
        row, column = divmod(i, QUERY_COLUMNS)
        place = 2 * GAP + column * step, top + HEADING + row * (CELL + GAP)
        _paste(sheet, prediction.query_pixels[i], place)
        _draw_answer(sheet, prediction, i, (place[0] + CELL + 2 * GAP, place[1], beside - 2 * GAP))
    return sheet


def _head(sheet: Image.Image, text: str, top: int) -> None:
    ImageDraw.Draw(sheet).text((2 * GAP, top + 9), text, "black", sheet_font(17))


def _answer_width(prediction: Prediction, shown: int) -> int:
    """Pixels that the longest answer or file name of the first `shown` queries takes."""
    least, most = ANSWER_WIDTHS
    texts = [(answer[0], CLASS_SIZE) for answer in prediction.answers[:shown] if answer]
    texts += [(file.name, FILE_SIZE) for file in prediction.queries[:shown]]
    widest = max(sheet_font(size).getlength(drawable(text)) for text, size in texts)
    return int(np.clip(widest + 2 * GAP + 1, least, most))


def _draw_answer(
    sheet: Image.Image, prediction: Prediction, i: int, box: tuple[int, int, int]
) -> None:
    """Query i's class, its probability as a bar, its file; within `box`, (left, top, width)."""
    (left, top, room), draw = box, ImageDraw.Draw(sheet)
    large, small = sheet_font(CLASS_SIZE), sheet_font(FILE_SIZE)
    if answer := prediction.answers[i]:
        name, probability = answer
        draw.text((left, top + 8), fitting(name, large, room), "black", large)
        bar = room - 44  # the percentage stands to its right
        edge = left + bar * probability
        middle = top + 34
        draw.rectangle((left, middle, left + bar, middle + BAR_HEIGHT), fill="#e4e4e4")
        draw.rectangle((left, middle, edge, middle + BAR_HEIGHT), fill=COLORS[0])
        draw.text((left + bar + 6, middle - 2), f"{100 * probability:.0f}%", "black", small)
    else:
        draw.text((left, top + 8), NOTHING, "#b00020", large)
    draw.text((left, top + 56), fitting(prediction.queries[i].name, small, room), "#555555", small)


def _paste(sheet: Image.Image, pixels: np.ndarray, place: tuple[int, int]) -> None:
    """A picture as the network sees it, in a frame so that white ones can be seen."""
    sheet.paste(thumbnail(np.rint(pixels * 255).astype(np.uint8), 255), place)
    (left, top), side = place, CELL - 1
    ImageDraw.Draw(sheet).rectangle((left, top, left + side, top + side), outline="#bbbbbb")
