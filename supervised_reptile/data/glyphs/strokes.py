"""The parts of pen strokes that alphabets choose their inventories from.

A stroke, or a part of one, is an array float64 [nodes, 3]: x, y (downwards) and the
roundness of the turn there, from 0 (a sharp corner) to 1 (a smooth curve).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from supervised_reptile.data.glyphs.random_draws import Chance

Stroke = np.ndarray  # float64 [nodes, 3]


class Part(NamedTuple):
    """A form that alphabets share, each in a variation of its own."""

    flow: float  # 0 angular, 1 curved: taken by alphabets alike
    often: float  # relative frequency
    nodes: tuple[tuple[float, float, float], ...]  # x, y, roundness


# Open parts, leading from (0, 0) to (1, 0), where x is the way ahead and y the way aside.
LINKS = (
    Part(0.35, 6, (  # line
        (0, 0, 1), (1, 0, 1))),
    Part(0.6, 2, (  # slightly bent line
        (0, 0, 1), (0.5, 0.08, 1), (1, 0, 1))),
    Part(1, 3, (  # bow
        (0, 0, 1), (0.12, 0.24, 1), (0.5, 0.42, 1), (0.88, 0.24, 1), (1, 0, 1))),
    Part(1, 1.5, (  # arch
        (0, 0, 1), (0.02, 0.4, 1), (0.5, 0.75, 1), (0.98, 0.4, 1), (1, 0, 1))),
    Part(1, 1.5, (  # S
        (0, 0, 1), (0.25, 0.22, 1), (0.5, 0, 1), (0.75, -0.22, 1), (1, 0, 1))),
    Part(1, 1.5, (  # crook
        (0, 0, 1), (0.7, 0, 0.8), (1, 0.1, 1), (1.02, 0.3, 1), (0.8, 0.36, 1))),
    Part(1, 0.8, (  # flick
        (0, 0.12, 1), (0.08, 0, 1), (0.3, 0, 0.5), (0.8, 0, 0.8), (1, -0.16, 1))),
    Part(1, 0.8, (  # loop
        (0, 0, 1), (0.5, 0.02, 1), (0.8, 0.2, 1), (0.5, 0.42, 1), (0.25, 0.2, 1),
        (0.5, 0.02, 1), (1, 0, 1))),
    Part(1, 0.8, (  # curl
        (0, 0, 1), (0.6, 0, 0.7), (1, 0.12, 1), (0.98, 0.42, 1), (0.7, 0.5, 1), (0.55, 0.3, 1),
        (0.75, 0.22, 1))),
    Part(1, 0.8, (  # two humps
        (0, 0, 1), (0.1, 0.36, 1), (0.4, 0.36, 1), (0.5, 0, 0), (0.6, 0.36, 1), (0.9, 0.36, 1),
        (1, 0, 1))),
    Part(0, 2, (  # chevron
        (0, 0, 0), (0.5, 0.4, 0), (1, 0, 0))),
    Part(0, 1.5, (  # bracket
        (0, 0, 0), (0, 0.5, 0), (1, 0.5, 0), (1, 0, 0))),
    Part(0, 1.5, (  # barb
        (0, 0, 0), (1, 0, 0), (0.75, 0.3, 0))),
    Part(0, 1, (  # zigzag
        (0, 0, 0), (0.33, 0.28, 0), (0.66, -0.28, 0), (1, 0, 0))),
    Part(0, 1, (  # step
        (0, 0, 0), (0.5, 0, 0), (0.5, 0.35, 0), (1, 0.35, 0))),
    Part(0, 0.8, (  # foot
        (0, 0.25, 0), (0, 0, 0), (1, 0, 0))),
)  # fmt: skip

# Closed parts, in the box from (-0.5, -0.5) to (0.5, 0.5).
RINGS = (
    Part(1, 3, (  # circle
        (0, -0.5, 1), (-0.35, -0.35, 1), (-0.5, 0, 1), (-0.35, 0.35, 1), (0, 0.5, 1),
        (0.35, 0.35, 1), (0.5, 0, 1), (0.35, -0.35, 1), (0, -0.5, 1))),
    Part(1, 0.8, (  # half moon
        (-0.5, -0.5, 0), (0.3, -0.4, 1), (0.5, 0, 1), (0.3, 0.4, 1), (-0.5, 0.5, 0),
        (-0.5, -0.5, 0))),
    Part(1, 0.6, (  # drop
        (0, -0.5, 0), (-0.35, 0, 1), (-0.3, 0.38, 1), (0, 0.5, 1), (0.3, 0.38, 1),
        (0.35, 0, 1), (0, -0.5, 0))),
    Part(1, 0.6, (  # eight
        (0, 0, 1), (-0.4, -0.25, 1), (0, -0.5, 1), (0.4, -0.25, 1), (0, 0, 1), (-0.4, 0.25, 1),
        (0, 0.5, 1), (0.4, 0.25, 1), (0, 0, 1))),
    Part(1, 0.6, (  # eye
        (-0.5, 0, 0), (0, -0.32, 1), (0.5, 0, 0), (0, 0.32, 1), (-0.5, 0, 0))),
    Part(0, 1, (  # diamond
        (0, -0.5, 0), (-0.5, 0, 0), (0, 0.5, 0), (0.5, 0, 0), (0, -0.5, 0))),
    Part(0, 1.5, (  # box
        (-0.5, -0.5, 0), (-0.5, 0.5, 0), (0.5, 0.5, 0), (0.5, -0.5, 0), (-0.5, -0.5, 0))),
    Part(0, 1.5, (  # triangle
        (0, -0.5, 0), (-0.5, 0.5, 0), (0.5, 0.5, 0), (0, -0.5, 0))),
    Part(0, 0.6, (  # hourglass
        (-0.5, -0.5, 0), (0.5, 0.5, 0), (-0.5, 0.5, 0), (0.5, -0.5, 0), (-0.5, -0.5, 0))),
)  # fmt: skip

STRAIGHT = np.array(LINKS[0].nodes, np.float64)


def choose_parts(
    chance: Chance, parts: tuple[Part, ...], count: int, flow: float
) -> tuple[Stroke, ...]:
    """`count` of `parts` that suit an alphabet of this `flow`, in its own variation of them."""
    likeness = [1.0 - abs(part.flow - flow) for part in parts]
    fitting = [part.often * like * like for part, like in zip(parts, likeness, strict=True)]
    chosen = []
    for _ in range(count):
        stroke = np.array(chance.choose(parts, fitting).nodes, np.float64)
        stroke[:, 1] *= chance.uniform(0.75, 1.25)
        stroke[1:-1, :2] += 0.03 * chance.bell(len(stroke) - 2, 2)
        chosen.append(stroke)
    return tuple(chosen)
