"""Evaluation episodes for the browser demo to solve, with the answers that Python gives."""

from __future__ import annotations

import base64
import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from supervised_reptile.algorithms.evaluate import NON_TRANSDUCTIVE, Episodes, query_scores
from supervised_reptile.algorithms.inner_loop import Examples, adapt
from supervised_reptile.config import Config
from supervised_reptile.data.dataset import Dataset
from supervised_reptile.data.episodes import Tasks, evaluation_tasks
from supervised_reptile.data.omniglot import load_omniglot, sorted_drawings
from supervised_reptile.networks.conv4 import encoder
from supervised_reptile.runs.checkpoint_snapshot import stored_net
from supervised_reptile.runs.read_only_run import load_snapshot
from supervised_reptile.runs.snapshot import Snapshot
from supervised_reptile.training.evaluation import evaluation_shape
from supervised_reptile.training.experiment import make_learner

SIDE = 105  # pixels of the drawings before they are made smaller


def make_cases(
    snapshot: Snapshot, data_dir: Path, episodes: int, shots: int, steps: int
) -> list[dict[str, Any]]:
    """The first non-transductive evaluation episodes of the test characters.

    Drawings are as large as they were drawn, so that making them smaller is the page's work. Every
    episode has its inner batches and the scores of all queries, computed here in float32.
    """
    config = dataclasses.replace(snapshot.config, shots=shots, eval_steps=steps)
    dataset, tasks = first_episodes(config, data_dir, episodes)
    drawings = sorted_drawings(data_dir)
    scores = query_scores_of(snapshot, config, dataset.images, tasks)
    packed = {row: _packed(drawings[row]) for row in np.unique(used_rows(tasks)).tolist()}
    return [_case(config, tasks, i, scores[i], packed) for i in range(episodes)]


def first_episodes(config: Config, data_dir: Path, episodes: int) -> tuple[Dataset, Tasks]:
    """Omniglot, and the first episodes that the test characters are evaluated on."""
    dataset = load_omniglot(data_dir, config.seed)
    tasks = evaluation_tasks(
        dataset.pools["test"],
        evaluation_shape(config),
        config.eval_seed,
        "test",
        range(episodes),
    )
    return dataset, tasks


def _case(
    config: Config, tasks: Tasks, i: int, scores: np.ndarray, packed: dict[int, str]
) -> dict[str, Any]:
    place = {row: position for position, row in enumerate(tasks.support_rows[i].tolist())}
    return {
        "classes": config.way,
        "rate": config.inner_rate,
        "support": [packed[row] for row in tasks.support_rows[i].tolist()],
        "labels": tasks.support_labels[i].tolist(),
        "batches": [[place[row] for row in batch] for batch in tasks.rows[i].tolist()],
        "queries": [packed[row] for row in tasks.query_rows[i, 0].tolist()],
        "right": tasks.query_labels[i, 0].tolist(),
        "scores": scores.tolist(),
    }


def used_rows(tasks: Tasks) -> np.ndarray:
    """Numbers of the images that the episodes use, some of them more than once."""
    return np.concatenate([tasks.support_rows.ravel(), tasks.query_rows.ravel()])


def _packed(png: bytes) -> str:
    """A drawing as base64 of its bits, row by row, 1 where there is ink."""
    with Image.open(io.BytesIO(png)) as image:
        paper = np.asarray(image.convert("1"))
    assert paper.shape == (SIDE, SIDE)
    return base64.b64encode(np.packbits(~paper).tobytes()).decode()


def query_scores_of(
    snapshot: Snapshot, config: Config, images: np.ndarray, tasks: Tasks
) -> np.ndarray:
    """Scores of every query after adapting to its episode, float32 [episodes, way, way]."""
    net = stored_net(dict(snapshot.net))
    learner = make_learner(config, net, max_value=1)
    load_snapshot(snapshot, learner)
    problem, start = learner.problem, learner.state
    used, numbers = np.unique(used_rows(tasks), return_inverse=True)
    table = tuple(map(tf.constant, encoder(net, len(used))(images[used], used)))
    renumber = dict(zip(used_rows(tasks).tolist(), numbers.tolist(), strict=True))

    @tf.function(autograph=False)
    def solve(batches: Examples, support: tf.Tensor, queries: Examples) -> tf.Tensor:
        adapted = adapt(problem, start, table, batches)
        episode = Episodes(batches, support, queries)
        return query_scores(problem, adapted.weights, table, episode, (NON_TRANSDUCTIVE,))[0][0]

    def rows(array: np.ndarray) -> tf.Tensor:
        return tf.constant(np.vectorize(renumber.get)(array), tf.int32)

    return np.stack(
        [
            solve(
                Examples(rows(tasks.rows[i]), tf.constant(tasks.labels[i])),
                rows(tasks.support_rows[i]),
                Examples(rows(tasks.query_rows[i]), tf.constant(tasks.query_labels[i])),
            ).numpy()
            for i in range(len(tasks.rows))
        ]
    )
