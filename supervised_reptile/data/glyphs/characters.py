"""Invented alphabets: every character a short program of pen strokes.

After the generative model of Lake, Salakhutdinov and Tenenbaum (Science 2015): a
character is a few strokes, a stroke is a chain of parts from a small inventory that its
alphabet shares, and each further stroke stands in a relation to those before it (starts
on one, mirrors it, repeats it, crosses it). Strokes run between the points of the
alphabet's own grid of columns and rows, which is what makes letters look designed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from supervised_reptile.data.glyphs.random_draws import Chance
from supervised_reptile.data.glyphs.strokes import LINKS, RINGS, STRAIGHT, Stroke, choose_parts

Character = tuple[Stroke, ...]  # in the unit box, y downwards; see `glyph_parts` for strokes

COLUMNS = ((0.0, 0.5, 1.0), (0.0, 0.5, 1.0), (0.0, 1.0), (0.0, 0.33, 0.67, 1.0))
ROWS = ((0.0, 0.5, 1.0), (0.0, 0.33, 0.67, 1.0), (0.0, 0.35, 1.0), (0.0, 0.65, 1.0))

LENGTHS = (1.0, 3.8)  # of all strokes of a character together, in sides of the box
NARROWEST = 0.15  # smaller side of a character's bounding box: more than a single line
SIMPLE = 0.55  # parts that reach less far are straight: a pen hardly does more
APART = 0.12  # strokes closer than this blur into one
OUTSIDE = 0.15  # how far strokes may leave the box before all is scaled to fit
RING_SIZES = (0.35, 0.5, 0.7)
LINK_RANKS = (3.0, 2.0, 1.0, 1.0, 1.0)  # how often an alphabet uses each of its open parts


@dataclass(frozen=True)
class Style:
    """What the characters of one alphabet have in common."""

    anchors: np.ndarray  # float64 [points, 2]: the grid
    links: tuple[Stroke, ...]  # its open parts, in order of LINK_RANKS
    rings: tuple[Stroke, ...]  # its closed parts
    relations: tuple[float, ...]  # how often each of RELATIONS makes a further stroke
    strokes: tuple[float, ...]  # how often a character has 1, 2, ... strokes
    legs: tuple[float, ...]  # how often a stroke has 1, 2, ... parts
    joint: float  # roundness where two parts of a stroke meet
    slanting: float  # how readily strokes leave the grid's rows and columns, to 1
    joined: float  # probability that a stroke starts on an earlier one
    dotted: float  # probability of a dot
    motifs: tuple[Stroke, ...] = ()  # whole strokes that some of its characters begin with
    motif_share: float = 0.0  # how many do


def invent_style(chance: Chance) -> Style:
    """A new alphabet's style."""
    flow = chance.choose((0.05, 0.5, 0.95), (0.2, 0.3, 0.5))  # from angular to curved
    many = chance.uniform()  # from few long strokes to many short ones
    style = Style(
        anchors=_invent_grid(chance),
        links=choose_parts(chance, LINKS, len(LINK_RANKS), flow),
        rings=choose_parts(chance, RINGS, 2, flow),
        relations=(
            1.0,  # links
            chance.choose((0.0, 0.15, 0.4)),  # rings
            chance.choose((0.0, 0.2, 0.6)),  # mirror images
            chance.choose((0.1, 0.3)),  # repetitions
            chance.choose((0.1, 0.3)),  # crossing bars
        ),
        strokes=(0.7 - 0.6 * many, 1.0, 0.3 + 0.7 * many, 0.7 * many * many),
        legs=(0.3 + many, 1.0 - 0.6 * many, 0.6 - 0.5 * many),
        joint=flow * chance.choose((0.0, 1.0), (1.0, 2.0)),
        slanting=chance.choose((0.1, 0.4, 1.0)),
        joined=chance.uniform(0.5, 1.0),
        dotted=chance.choose((0.0, 0.05, 0.3)),
    )
    motifs = tuple(_link(chance, style, []) for _ in range(chance.choose((1, 2, 3))))
    return replace(style, motifs=motifs, motif_share=chance.choose((0.0, 0.3, 0.7)))


def invent_character(chance: Chance, style: Style) -> Character:
    """A new character in `style`, neither bare nor overloaded, in the middle of the unit box."""
    while True:
        character = _centred(_compose(chance, style))
        length = math.fsum(_length(stroke) for stroke in character)
        width = np.ptp(np.concatenate(character)[:, :2], axis=0).min()
        if LENGTHS[0] <= length <= LENGTHS[1] and width >= NARROWEST:
            return character


def _invent_grid(chance: Chance) -> np.ndarray:
    width = chance.uniform(0.65, 1.0)
    columns, rows = chance.choose(COLUMNS), chance.choose(ROWS)
    return np.array([(0.5 + (x - 0.5) * width, y) for x in columns for y in rows])


def _compose(chance: Chance, style: Style) -> list[Stroke]:
    strokes: list[Stroke] = []
    if chance.happens(style.motif_share):
        strokes.append(chance.choose(style.motifs))
    wanted = chance.choose(range(1, len(style.strokes) + 1), style.strokes)
    for _ in range(4 * wanted):  # attempts: a stroke that crowds the others is dropped
        if len(strokes) >= wanted:
            break
        relation = chance.choose(RELATIONS, style.relations if strokes else FIRST)
        stroke = relation(chance, style, strokes)
        if not strokes or not _crowds(stroke, strokes):
            strokes.append(stroke)
    if chance.happens(style.dotted):
        strokes.append(_dot(chance, strokes))
    return strokes


def _link(chance: Chance, style: Style, earlier: list[Stroke]) -> Stroke:
    """A chain of open parts from one grid point to others."""
    visited = [_start(chance, style, earlier)]
    legs: list[Stroke] = []
    for _ in range(chance.choose(range(1, len(style.legs) + 1), style.legs)):
        there = _next_anchor(chance, style, visited)
        short = np.abs(there - visited[-1]).max() < SIMPLE
        part = STRAIGHT if short else chance.choose(style.links, LINK_RANKS)
        leg = _placed(part, visited[-1], there, chance.choose((-1.0, 1.0)))
        leg[-1, 2] = style.joint
        legs.append(leg[1:] if legs else leg)
        visited += [there, leg[-1, :2]]  # a crook ends elsewhere than it leads to
    return np.concatenate(legs)


def _ring(chance: Chance, style: Style, earlier: list[Stroke]) -> Stroke:
    """A closed part around a grid point or an earlier stroke's node, or touching it."""
    size = np.array([chance.choose(RING_SIZES), chance.choose(RING_SIZES)])
    ring = chance.choose(style.rings).copy()
    ring[:, :2] *= size * chance.choose((-1.0, 1.0))
    middle = _start(chance, style, earlier)
    if earlier and chance.happens(0.6):
        middle = middle - chance.choose(ring)[:2]
    ring[:, :2] += middle
    return ring


def _mirrored(chance: Chance, style: Style, earlier: list[Stroke]) -> Stroke:
    """An earlier stroke in a mirror: left and right exchanged, less often top and bottom."""
    stroke = chance.choose(earlier).copy()
    axis = chance.choose((0, 1), (0.7, 0.3))
    stroke[:, axis] = 1.0 - stroke[:, axis]
    return stroke


def _repeated(chance: Chance, style: Style, earlier: list[Stroke]) -> Stroke:
    """An earlier stroke once more, beside it or below."""
    stroke = chance.choose(earlier).copy()
    axis = chance.choose((0, 1))
    away = chance.choose((0.3, 0.5))
    stroke[:, axis] += away if _middle(stroke)[axis] < 0.5 else -away
    return stroke


def _crossing(chance: Chance, style: Style, earlier: list[Stroke]) -> Stroke:
    """A short bar, level or upright, across an earlier stroke."""
    stroke = chance.choose(earlier)
    node = chance.choose(range(len(stroke) - 1))
    ahead = stroke[node + 1, :2] - stroke[node, :2]
    place = stroke[node, :2] + ahead * chance.choose((0.3, 0.5, 0.7))
    reach = np.zeros(2)
    reach[np.abs(ahead).argmin()] = chance.choose((0.15, 0.25))
    bar = STRAIGHT.copy()
    bar[:, :2] = place - reach, place + reach
    return bar


RELATIONS = (_link, _ring, _mirrored, _repeated, _crossing)
FIRST = (1.0, 0.3, 0.0, 0.0, 0.0)  # the same for a stroke that has none before it


def _dot(chance: Chance, earlier: list[Stroke]) -> Stroke:
    """A dot, as pens make them a tiny triangle, in free space near the ink."""
    spots = [np.array([x, y]) for x in (0.1, 0.5, 0.9) for y in (-0.1, 0.25, 0.5, 0.75, 1.1)]
    free = _distance_to_ink(np.array(spots), earlier)
    good = [spot for spot, distance in zip(spots, free, strict=True) if 0.17 < distance < 0.55]
    spot = chance.choose(good or [spots[free.argmax()]])
    dot = np.array([[0.0, -0.012, 0.0], [0.012, 0.012, 0.0], [-0.012, 0.012, 0.0]])
    dot[:, :2] += spot
    return dot


def _start(chance: Chance, style: Style, earlier: list[Stroke]) -> np.ndarray:
    if earlier and chance.happens(style.joined):
        return chance.choose(chance.choose(earlier))[:2]
    return chance.choose(style.anchors)


def _next_anchor(chance: Chance, style: Style, visited: list[np.ndarray]) -> np.ndarray:
    """A grid point not yet visited (or else the farthest), rather in the same row or column."""
    away = np.abs(style.anchors[:, None] - np.array(visited))  # [points, visited, 2]
    new = away.max(2).min(1) >= 0.25
    if not new.any():
        return style.anchors[away[:, -1].max(1).argmax()]
    aligned = away[:, -1].min(1) < 0.1
    weights = np.where(new, np.where(aligned, 1.0, style.slanting), 0.0)
    return chance.choose(style.anchors, weights.tolist())


def _placed(part: Stroke, start: np.ndarray, end: np.ndarray, side: float) -> Stroke:
    """`part` turned and stretched to lead from `start` to `end`; `side` -1 is its mirror image."""
    ahead = end - start
    aside = np.array([-ahead[1], ahead[0]]) * side
    stroke = part.copy()
    stroke[:, :2] = start + part[:, :1] * ahead + part[:, 1:2] * aside
    return stroke


def _crowds(stroke: Stroke, earlier: list[Stroke]) -> bool:
    """Whether `stroke` leaves the box or runs along earlier ones for much of its way."""
    points = _points_along(stroke)
    if points.min() < -OUTSIDE or points.max() > 1.0 + OUTSIDE:
        return True
    return bool((_distance_to_ink(points, earlier) < APART).mean() > 0.4)


def _distance_to_ink(points: np.ndarray, strokes: list[Stroke]) -> np.ndarray:
    """From each of `points` [points, 2] to the nearest stroke: float64 [points]."""
    ink = np.concatenate([_points_along(stroke) for stroke in strokes])
    away = points[:, None] - ink
    return np.sqrt((away * away).sum(-1).min(1))


def _points_along(stroke: Stroke) -> np.ndarray:
    """Points on the straight lines between nodes, float64 [points, 2]."""
    steps = np.arange(8)[:, None, None] / 8
    return (stroke[:-1, :2] * (1 - steps) + stroke[1:, :2] * steps).reshape(-1, 2)


def _length(stroke: Stroke) -> float:
    steps = np.diff(stroke[:, :2], axis=0)
    return math.fsum(np.sqrt((steps * steps).sum(1)).tolist())


def _middle(stroke: Stroke) -> np.ndarray:
    """The middle of its bounding box, float64 [2]."""
    return (stroke[:, :2].min(0) + stroke[:, :2].max(0)) / 2


def _centred(strokes: list[Stroke]) -> Character:
    """The strokes moved to the middle of the unit box and, where too big or small, scaled."""
    nodes = np.concatenate(strokes)
    extent = float(np.ptp(nodes[:, :2], axis=0).max())
    scale = min(max(extent, 0.7), 1.0) / extent
    moved = [stroke.copy() for stroke in strokes]
    for stroke in moved:
        stroke[:, :2] = (stroke[:, :2] - _middle(nodes)) * scale + 0.5
    return tuple(moved)
