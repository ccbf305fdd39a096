"""Computes what the unit tests of the page compare with: the network and its steps in float64.

PYTHONPATH=. python web/scripts/fixture.py > web/tests/fixtures/python.json
"""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
from PIL import Image

from supervised_reptile.system.start_tensorflow import start_tensorflow

start_tensorflow()

import tensorflow as tf  # noqa: E402

from supervised_reptile.algorithms.inner_loop import (  # noqa: E402
    InnerRule,
    InnerState,
    Problem,
    inner_step,
    summed_cross_entropy,
)
from supervised_reptile.data.glyphs.draw_alphabets import GlyphSet, invent_alphabets  # noqa: E402
from supervised_reptile.data.glyphs.drawing import IDEAL, draw  # noqa: E402
from supervised_reptile.data.glyphs.random_draws import Chance  # noqa: E402
from supervised_reptile.networks.conv4 import (  # noqa: E402
    ConvNet,
    Reading,
    grouping,
    initial_weights,
    logits,
    unpack,
)
from supervised_reptile.networks.layers import image_patches  # noqa: E402
from supervised_reptile.networks.weights import times  # noqa: E402

NET = ConvNet((10, 7, 1), way=3, filters=4, pooling=False, blocks=3)  # even and odd sizes
IMAGES, TIME = 5, 40
BATCHES = ((0, 1, 2, 3), (4, 0, 1, 3), (2, 4, 0, 1))
LABELS = (0, 1, 2, 0, 1)
RULES = {
    "adam": InnerRule(0.01),
    "adam with decay": InnerRule(0.003, weight_decay=0.98),
    "sgd": InnerRule(0.02, sgd=True),
}


def problem(rule: InnerRule, classes: int) -> Problem:
    """Classification by the first `classes` outputs."""
    return Problem(
        lambda weights, images: logits(NET, unpack(NET, weights), images, Reading())[:, :classes],
        summed_cross_entropy,
        rule,
        grouping(NET),
    )


def start() -> tuple[np.ndarray, np.ndarray]:
    """Weights and second moments in the middle of training, float32 numbers."""
    random = np.random.default_rng(0)
    weights = initial_weights(NET, 0) + random.normal(0, 0.1, NET.size).astype(np.float32)
    return weights, random.uniform(0.05, 2, NET.size).astype(np.float32)


def run(
    rule: InnerRule, images: np.ndarray, labels: tuple[int, ...], classes: int
) -> dict[str, Any]:
    """Losses of the steps, the state after them, and the scores of all images by it.

    The last image has no label: it is only classified, beside the others.
    """
    task, split = problem(rule, classes), grouping(NET).split
    weights, moments = start()
    state = InnerState(
        split(tf.constant(weights, tf.float64)),
        split(tf.constant(moments, tf.float64)),
        tf.constant(TIME, tf.int64),
    )
    encoded = tf.constant(image_patches(images.astype(np.float64), 2))
    losses = []
    for batch in BATCHES:
        inputs = (tf.gather(encoded, batch),)
        given = tf.constant([labels[i] for i in batch])
        decayed = times(state.weights, rule.weight_decay)
        losses.append(float(task.loss(given, task.predict(decayed, inputs))))
        state = inner_step(task, state, inputs, given)
    join = grouping(NET).join
    return {
        "rule": {
            "rate": rule.learning_rate,
            "sgd": rule.sgd,
            "weight_decay": rule.weight_decay,
        },
        "classes": classes,
        "labels": labels,
        "losses": losses,
        "weights": _short(join(state.weights)),
        "secondMoment": _short(join(state.second_moment)),
        "scores": _short(task.predict(state.weights, (encoded,))),
    }


def shrunk(characters: int) -> list[dict[str, str]]:
    """Drawings and what Pillow makes of them: bits in base64, 1 where there is ink."""
    (alphabet,) = invent_alphabets(GlyphSet(1, 1, characters))
    pairs = []
    for character in alphabet.characters:
        ink = draw(character, IDEAL, Chance(0))
        small = np.asarray(Image.fromarray(~ink).resize((28, 28), Image.Resampling.NEAREST))
        pairs.append({"drawing": _bits(ink), "image": _bits(~small)})
    return pairs


def _short(numbers: tf.Tensor) -> list:
    """To more digits than float32 has."""
    return np.round(numbers.numpy(), 9).tolist()


def _bits(ink: np.ndarray) -> str:
    return base64.b64encode(np.packbits(ink).tobytes()).decode()


def fixture() -> dict[str, Any]:
    """Everything."""
    images = (
        np.random.default_rng(1).integers(0, 2, (IMAGES + 1, *NET.image_shape)).astype(np.float32)
    )
    weights, moments = start()
    fewer = tuple(label % 2 for label in LABELS)
    return {
        "net": {
            "height": NET.image_shape[0],
            "width": NET.image_shape[1],
            "filters": NET.filters,
            "blocks": NET.blocks,
            "way": NET.way,
        },
        "parts": [{"name": name, "shape": shape} for name, shape in NET.shapes],
        "images": images.ravel().astype(int).tolist(),
        "batches": BATCHES,
        "time": TIME,
        "weights": weights.tolist(),
        "secondMoment": moments.tolist(),
        "runs": {
            **{name: run(rule, images, LABELS, NET.way) for name, rule in RULES.items()},
            "fewer classes": run(RULES["adam"], images, fewer, 2),
        },
        "shrunk": shrunk(3),
    }


if __name__ == "__main__":
    print(json.dumps(fixture()))
