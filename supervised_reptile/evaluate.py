"""Accuracy on few-shot episodes, with confidence intervals, in both transduction modes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from supervised_reptile.inner import (
    Examples,
    InnerState,
    Inputs,
    Predict,
    Problem,
    Table,
    adapt,
    look_up,
)
from supervised_reptile.outer import LANES
from supervised_reptile.weights import Weights

TRANSDUCTIVE = "transductive"
NON_TRANSDUCTIVE = "non_transductive"


class Episodes(NamedTuple):
    """Evaluation episodes; the leading axis is absent where one episode is meant."""

    batches: Examples  # rows and labels [..., steps, batch]
    support_rows: tf.Tensor  # int32 [..., way * shots]
    queries: Examples  # rows and labels [..., query sets, way]


class Accuracy(NamedTuple):
    """A mean accuracy with the half width of its 95% confidence interval over episodes."""

    mean: float  # 0 ... 1
    half_width: float | None  # None for a single episode, which says nothing of its spread
    episodes: int

    def __str__(self) -> str:
        spread = "?" if self.half_width is None else f"{self.half_width:.5f}"
        return f"{self.mean:.5f} +- {spread} (95% interval over {self.episodes} episodes)"


def accuracy(correct: np.ndarray, queries: int) -> Accuracy:
    """The accuracy of `correct` right answers out of `queries` in each episode, int [episodes].

    The interval is 1.96 standard errors of the mean over episodes, which are independent;
    queries of one episode are not.
    """
    rates = np.asarray(correct, np.float64) / queries
    if len(rates) < 2:
        return Accuracy(float(rates.mean()), None, len(rates))
    half_width = 1.96 * float(rates.std(ddof=1)) / math.sqrt(len(rates))
    return Accuracy(float(rates.mean()), half_width, len(rates))


def query_scores(
    predict: Predict,
    weights: Weights,
    table: Table,
    episode: Episodes,
    modes: tuple[str, ...],
) -> list[tf.Tensor]:
    """For each mode, the scores [query sets, way, way] that adapted weights give one episode.

    Transductive: one forward pass over a set of queries, which share their batch statistics.
    Non-transductive: for each query a forward pass over the support set and that query.
    """
    support = look_up(table, episode.support_rows, weights)
    queries = look_up(table, episode.queries.rows, weights)

    def alone(query: Inputs) -> tf.Tensor:
        both = zip(support, query, strict=True)
        return predict(weights, tuple(tf.concat([s, q[None]], axis=0) for s, q in both))[-1]

    def one_by_one(queries: Inputs) -> tf.Tensor:
        return _map(alone, queries, weights)

    passes = {TRANSDUCTIVE: lambda queries: predict(weights, queries), NON_TRANSDUCTIVE: one_by_one}
    return [_map(passes[mode], queries, weights) for mode in modes]


def _map(function: Callable[[Inputs], tf.Tensor], inputs: Inputs, like: Weights) -> tf.Tensor:
    """The results of one after the other, stacked, of the type of the weights."""
    return tf.map_fn(function, inputs, fn_output_signature=like[0].dtype, parallel_iterations=1)


def correct_counts(
    problem: Problem,
    start: InnerState,
    table: Table,
    episodes: Episodes,
    modes: tuple[str, ...],
) -> tf.Tensor:
    """Right answers, int32 [modes, episodes]: adapt to each episode from `start`, then classify.

    Every episode starts from the same weights and the same Adam state; nothing is kept.
    """
    total = tf.shape(episodes.support_rows)[0]

    def lane(first: int) -> tf.Tensor:
        def body(index, counts):
            episode = tf.nest.map_structure(lambda array: array[index], episodes)
            adapted = adapt(problem, start, table, episode.batches)
            scores = query_scores(problem.predict, adapted.weights, table, episode, modes)
            guesses = tf.argmax(tf.stack(scores), axis=-1, output_type=tf.int32)
            right = tf.reduce_sum(tf.cast(guesses == episode.queries.labels, tf.int32), [1, 2])
            return index + LANES, tf.tensor_scatter_nd_update(counts, [[index]], right[None])

        counts = tf.zeros([total, len(modes)], tf.int32)
        return tf.while_loop(lambda index, _: index < total, body, (first, counts))[1]

    per_episode = tf.reduce_sum(tf.stack([lane(i) for i in range(LANES)]), axis=0)
    # Not tf.transpose: its oneDNN kernel complains of int32 on standard error.
    return tf.stack(tf.unstack(per_episode, axis=1))
