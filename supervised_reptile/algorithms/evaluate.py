"""Right answers on few-shot episodes, in both transduction modes."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from supervised_reptile.algorithms.execution import Execution, SideBySide
from supervised_reptile.algorithms.inner_loop import (
    Examples,
    InnerState,
    Inputs,
    InputTable,
    Problem,
    adapt,
    look_up,
)
from supervised_reptile.config import NON_TRANSDUCTIVE, TRANSDUCTIVE
from supervised_reptile.networks.weights import Weights


class Episodes(NamedTuple):
    """Evaluation episodes; the leading axis is absent where one episode is meant."""

    batches: Examples  # rows and labels [..., steps, batch]
    support_rows: tf.Tensor  # int32 [..., way * shots]
    queries: Examples  # rows and labels [..., query sets, way]


def query_scores(
    problem: Problem,
    weights: Weights,
    table: InputTable,
    episode: Episodes,
    modes: tuple[str, ...],
    execution: Execution = SideBySide(),  # noqa: B008 - has no state
) -> list[tf.Tensor]:
    """For each mode, the scores [query sets, way, way] that adapted weights give one episode.

    Transductive: one forward pass over a set of queries, which share their batch statistics.
    Non-transductive: for each query a forward pass over the support set and that query.
    """
    support = look_up(table, episode.support_rows, weights)
    queries = look_up(table, episode.queries.rows, weights)
    dtype = weights[0].dtype

    def together(queries: Inputs) -> tf.Tensor:
        return problem.predict(weights, queries)

    def alone(query: Inputs) -> tf.Tensor:
        both = zip(support, query, strict=True)
        return together(tuple(tf.concat([s, q[None]], axis=0) for s, q in both))[-1]

    def one_by_one(queries: Inputs) -> tf.Tensor:
        return execution.map(alone, queries, dtype)

    passes = {TRANSDUCTIVE: together, NON_TRANSDUCTIVE: one_by_one}
    return [execution.map(passes[mode], queries, dtype) for mode in modes]


def correct_counts(
    problem: Problem,
    start: InnerState,
    table: InputTable,
    episodes: Episodes,
    modes: tuple[str, ...],
    execution: Execution = SideBySide(),  # noqa: B008 - has no state
) -> tf.Tensor:
    """Right answers, int32 [modes, episodes]: adapt to each episode from `start`, then classify.

    Every episode starts from the same weights and the same Adam state; nothing is kept.
    """

    def count(episode: Episodes) -> tf.Tensor:  # int32 [modes]
        adapted = adapt(problem, start, table, episode.batches)
        scores = query_scores(problem, adapted.weights, table, episode, modes, execution)
        guesses = tf.argmax(tf.stack(scores), axis=-1, output_type=tf.int32)
        return tf.reduce_sum(tf.cast(guesses == episode.queries.labels, tf.int32), axis=[1, 2])

    counts = execution.map_episodes(count, episodes, len(modes))
    # Not tf.transpose: its oneDNN kernel complains of int32 on standard error.
    return tf.stack(tf.unstack(counts, num=len(modes), axis=1))
