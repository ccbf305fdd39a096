"""Right answers on few-shot episodes, in both transduction modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from supervised_reptile.inner import (
    Examples,
    InnerState,
    Inputs,
    Problem,
    Table,
    adapt,
    look_up,
)
from supervised_reptile.modes import NON_TRANSDUCTIVE, TRANSDUCTIVE
from supervised_reptile.runtime import threads
from supervised_reptile.weights import Weights


class Episodes(NamedTuple):
    """Evaluation episodes; the leading axis is absent where one episode is meant."""

    batches: Examples  # rows and labels [..., steps, batch]
    support_rows: tf.Tensor  # int32 [..., way * shots]
    queries: Examples  # rows and labels [..., query sets, way]


def query_scores(
    problem: Problem,
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

    def together(queries: Inputs) -> tf.Tensor:
        return problem.predict(weights, queries)

    def alone(query: Inputs) -> tf.Tensor:
        both = zip(support, query, strict=True)
        return together(tuple(tf.concat([s, q[None]], axis=0) for s, q in both))[-1]

    def one_by_one(queries: Inputs) -> tf.Tensor:
        return each(alone, queries)

    def each(function: Callable[[Inputs], tf.Tensor], inputs: Inputs) -> tf.Tensor:
        if problem.stacked:
            return tf.vectorized_map(function, inputs, fallback_to_while_loop=False)
        dtype = weights[0].dtype
        return tf.map_fn(function, inputs, fn_output_signature=dtype, parallel_iterations=1)

    passes = {TRANSDUCTIVE: together, NON_TRANSDUCTIVE: one_by_one}
    return [each(passes[mode], queries) for mode in modes]


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

    def count(episode: Episodes) -> tf.Tensor:  # int32 [modes]
        adapted = adapt(problem, start, table, episode.batches)
        scores = query_scores(problem, adapted.weights, table, episode, modes)
        guesses = tf.argmax(tf.stack(scores), axis=-1, output_type=tf.int32)
        return tf.reduce_sum(tf.cast(guesses == episode.queries.labels, tf.int32), axis=[1, 2])

    if problem.stacked:
        counts = tf.vectorized_map(count, episodes, fallback_to_while_loop=False)
    else:
        counts = _over_lanes(count, episodes, len(modes))
    # Not tf.transpose: its oneDNN kernel complains of int32 on standard error.
    return tf.stack(tf.unstack(counts, num=len(modes), axis=1))


def _over_lanes(
    count: Callable[[Episodes], tf.Tensor], episodes: Episodes, modes: int
) -> tf.Tensor:
    """What `count` says of each episode, int32 [episodes, modes], side by side on the cores."""
    total = tf.shape(episodes.support_rows)[0]
    count = tf.function(count, autograph=False)  # traced once, not for every lane
    # One more than threads, so that no thread waits. Unlike in training, where lanes decide the
    # order of a sum, no result depends on their number.
    lanes = 1 + threads()

    def lane(first: int) -> tf.Tensor:
        def body(index, counts):
            episode = tf.nest.map_structure(lambda array: array[index], episodes)
            return index + lanes, tf.tensor_scatter_nd_update(
                counts, [[index]], count(episode)[None]
            )

        counts = tf.zeros([total, modes], tf.int32)
        return tf.while_loop(lambda index, _: index < total, body, (first, counts))[1]

    return tf.reduce_sum(tf.stack([lane(i) for i in range(lanes)]), axis=0)
