"""Performing a character: one person's pen, one drawing at a time.

Two layers of variation, as in people: a drawer's habits (size, proportions, slant,
roundness, pen) hold for a whole alphabet; what the hand does on top differs from drawing
to drawing. The amounts were set against Omniglot: size, place and share of ink of the
drawings, and how well a nearest-mean classifier tells their classes apart.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from supervised_reptile.data.glyphs.characters import Character
from supervised_reptile.data.glyphs.random_draws import Chance
from supervised_reptile.data.glyphs.strokes import Stroke

SIDE = 105  # pixels, as in Omniglot
MARGIN = 4  # pixels at the edge that the middle of the pen keeps clear of
RECORDED = 6  # pen positions recorded from node to node; straight lines between them
FILLED = 12  # points inked on each of those lines, so that they touch


@dataclass(frozen=True)
class Drawer:
    """One person's habits."""

    size: np.ndarray  # float64 [2]: pixels that the unit box takes, across and down
    middle: np.ndarray  # float64 [2]: where its middle comes to lie, in pixels
    shear: np.ndarray  # float64 [2]: x gained per y, and y gained per x
    rounding: float  # added to the roundness of every turn: above 0 a flowing hand
    untidiness: float  # multiplies everything that differs from drawing to drawing
    pen: int  # width of the stroke in pixels


# Draws a character exactly as it was meant.
IDEAL = Drawer(np.full(2, 66.0), np.full(2, 52.0), np.zeros(2), 0.0, 0.0, 5)


def invent_drawer(chance: Chance) -> Drawer:
    """A new person."""
    return Drawer(
        size=62.0 * (1.0 + 0.17 * chance.bell(1)) * (1.0 + 0.09 * chance.bell(2)),
        middle=51.5 + 3.0 * chance.bell(2),
        shear=np.array([0.11, 0.055]) * chance.bell(2),
        rounding=0.18 * float(chance.bell(1)[0]),
        untidiness=chance.uniform(0.6, 1.7),
        pen=chance.choose((4, 5, 6), (0.1, 0.8, 0.1)),
    )


def draw(character: Character, drawer: Drawer, chance: Chance) -> np.ndarray:
    """One drawing of `character`: bool [SIDE, SIDE], True where there is ink."""
    points = [_joined_up(positions) for positions in pen_paths(character, drawer, chance)]
    return _inked(np.concatenate(points), drawer.pen)


def pen_paths(character: Character, drawer: Drawer, chance: Chance) -> list[np.ndarray]:
    """Where the pen goes in one drawing, stroke by stroke: float64 [positions, 2] in pixels."""
    curves = [_curve(_remembered(stroke, drawer, chance), drawer, chance) for stroke in character]
    starts = np.cumsum([len(curve) for curve in curves])[:-1]
    return np.split(_on_paper(np.concatenate(curves), drawer, chance), starts)


def _remembered(stroke: Stroke, drawer: Drawer, chance: Chance) -> Stroke:
    """The stroke as this hand means to draw it this time."""
    messy = drawer.untidiness
    nodes = stroke.copy()
    middle = (nodes[:, :2].min(0) + nodes[:, :2].max(0)) / 2
    grown = 1.0 + 0.06 * messy * chance.bell(2)
    moved = middle + 0.022 * messy * chance.bell(2)
    scattered = 0.024 * messy * chance.bell(len(nodes), 2)
    nodes[:, :2] = (nodes[:, :2] - middle) * grown + moved + scattered
    nodes[:, 2] = np.clip(nodes[:, 2] + drawer.rounding, 0.0, 1.1)
    return nodes


def _curve(stroke: Stroke, drawer: Drawer, chance: Chance) -> np.ndarray:
    """Pen positions along the curve through the nodes, float64 [positions, 2].

    A cubic Hermite curve whose tangent at a node is the Catmull-Rom spline's times the
    node's roundness: 1 runs smoothly through, 0 stops and turns.
    """
    where, roundness = stroke[:, :2], stroke[:, 2:]
    around = np.concatenate([where[:1], where, where[-1:]])
    swerve = 0.04 * drawer.untidiness * chance.bell(*where.shape)
    tangents = (around[2:] - around[:-2]) / 2 * roundness + swerve
    t = np.arange(RECORDED)[:, None, None] / RECORDED
    rest = 1 - t
    curve = (
        (1 + 2 * t) * rest * rest * where[:-1]
        + t * rest * rest * tangents[:-1]
        + (1 + 2 * rest) * t * t * where[1:]
        - rest * t * t * tangents[1:]
    )  # [RECORDED, nodes - 1, 2]
    return np.concatenate([curve.swapaxes(0, 1).reshape(-1, 2), where[-1:]])


def _on_paper(path: np.ndarray, drawer: Drawer, chance: Chance) -> np.ndarray:
    """From the unit box to pixels, float64 [positions, 2], with what befalls a whole drawing."""
    messy = drawer.untidiness
    centred = path - 0.5
    uneven = centred + 0.16 * messy * chance.bell(2) * (0.25 - centred * centred)  # halves differ
    sized = uneven * drawer.size * (1.0 + 0.06 * messy * chance.bell(2))
    sheared = sized + sized[:, ::-1] * (drawer.shear + 0.05 * messy * chance.bell(2))
    placed = sheared + drawer.middle + 2.0 * messy * chance.bell(2)
    trembling = 0.28 * messy * chance.bell(*path.shape)
    return _moved_inside(placed + trembling)


def _moved_inside(path: np.ndarray) -> np.ndarray:
    """Shrunk and shifted no more than it takes to keep the margins clear."""
    low = path.min(0)
    room = SIDE - 1.0 - 2 * MARGIN
    extent = np.ptp(path, axis=0)
    shrunk = (path - low) * np.minimum(1.0, room / np.maximum(extent, 1.0))
    return shrunk + np.clip(low, MARGIN, MARGIN + room - np.minimum(extent, room))


def _joined_up(path: np.ndarray) -> np.ndarray:
    """Close-by points on the straight lines from position to position, float64 [points, 2]."""
    steps = np.arange(FILLED)[:, None, None] / FILLED
    return (path[:-1] * (1 - steps) + path[1:] * steps).reshape(-1, 2)


def _inked(points: np.ndarray, pen: int) -> np.ndarray:
    """What a pen leaves that touches the paper at `points`: bool [SIDE, SIDE]."""
    columns, rows = np.floor(points + 0.5).astype(np.intp).T
    ink = np.zeros(SIDE * SIDE, bool)
    ink[(rows * SIDE + columns)[:, None] + _nib(pen)] = True
    return ink.reshape(SIDE, SIDE)


@functools.cache
def _nib(width: int) -> np.ndarray:
    """A round nib: its pixels as offsets into a flattened image, intp [pixels]."""
    along = np.arange(width) - width // 2
    off_centre = along + (0.5 if width % 2 == 0 else 0.0)
    rows, columns = np.nonzero(off_centre[:, None] ** 2 + off_centre**2 <= width * width / 4)
    return along[rows] * SIDE + along[columns]
