"""Draws the characters that the page opens with.

    PYTHONPATH=. python web/scripts/samples.py > web/src/samples.json

Invented characters, so that nobody has seen them before, each by several invented drawers.
"""

from __future__ import annotations

import json
from itertools import islice

import numpy as np

from supervised_reptile.data.glyphs.draw_alphabets import GlyphSet, invent_alphabets
from supervised_reptile.data.glyphs.drawing import SIDE, invent_drawer, pen_paths
from supervised_reptile.data.glyphs.random_draws import Chance

SEED = 5
ALPHABETS, CHARACTERS, DRAWINGS = 4, 5, 4
UNITS = 1000  # a side of the pad


def strokes(paths: list[np.ndarray]) -> list[list[int]]:
    """x0, y0, x1, y1 ... of each stroke in thousandths of the pad."""
    return [np.round(path / SIDE * UNITS).astype(int).ravel().tolist() for path in paths]


def sets() -> list[list[list[list[list[int]]]]]:
    """[alphabets][characters][drawings][strokes][numbers]"""
    glyphs = GlyphSet(SEED, ALPHABETS, CHARACTERS, DRAWINGS)
    result = []
    for alphabet in islice(invent_alphabets(glyphs), ALPHABETS):
        drawers = [invent_drawer(Chance(SEED, alphabet.index, i)) for i in range(DRAWINGS)]
        result.append(
            [
                [
                    strokes(
                        pen_paths(character, drawer, Chance(SEED, alphabet.first_number + i, j))
                    )
                    for j, drawer in enumerate(drawers)
                ]
                for i, character in enumerate(alphabet.characters)
            ]
        )
    return result


if __name__ == "__main__":
    print(json.dumps(sets(), separators=(",", ":")))
