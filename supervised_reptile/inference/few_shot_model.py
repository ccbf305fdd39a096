"""A trained initialization that adapts to a few examples: what predicts, here and exported.

`reptile predict`, FewShotClassifier and the SavedModel of `reptile export` are this one model, so
they give the same answers. Nothing in it is random: which examples an inner step is taken on is a
function of their number alone (`inner_batches`).
"""

from __future__ import annotations

import tensorflow as tf

from supervised_reptile.algorithms.evaluate import Episodes, query_scores
from supervised_reptile.algorithms.inner_loop import (
    Examples,
    InnerRule,
    InnerState,
    Problem,
    adapt,
    summed_cross_entropy,
)
from supervised_reptile.config import NON_TRANSDUCTIVE, TRANSDUCTIVE
from supervised_reptile.errors import counted
from supervised_reptile.networks.conv4 import Reading, grouping, logits, unpack
from supervised_reptile.networks.layers import in_graph_patches
from supervised_reptile.runs.checkpoint_snapshot import stored_net
from supervised_reptile.runs.snapshot import Snapshot, flat

LOW_WORD = 2**32 - 1
# Odd multipliers of integer hashes with little bias; below 2^31, so that no product overflows.
GOLDEN, FIRST, SECOND = 0x1E3779B9, 0x7FEB352D, 0x31848BAB


class FewShotModel(tf.Module):
    """Weights and Adam's state, and what can be done with them.

    Shapes: P weights, n support images, q query images, c classes. Images are float32
    [..., height, width, channels], 0 ... 1 (Omniglot: 0 is ink, 1 is paper); labels int32 [n] are
    0, 1, ..., c - 1. Where c is less than the network has outputs, the first outputs are used.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__("few_shot_model")
        self._net = stored_net(dict(snapshot.net))
        config = snapshot.config
        self._rule = InnerRule(config.inner_rate, config.sgd, config.weight_decay)
        self._batch, self._replacement = config.eval_batch, config.replacement
        self._grouping = grouping(self._net)
        self.weights = tf.Variable(tf.constant(flat(snapshot.weights)), trainable=False)
        self.second_moment = tf.Variable(tf.constant(flat(snapshot.second_moment)), trainable=False)
        self.time = tf.Variable(tf.constant(snapshot.time, tf.int64), trainable=False)
        # Signatures with unknown numbers of images: one graph for all, never compiled again.
        vector = tf.TensorSpec([None], tf.float32)
        images = tf.TensorSpec([None, *self._net.image_shape], tf.float32)
        labels, number = tf.TensorSpec([None], tf.int32), tf.TensorSpec([], tf.int32)

        def compiled(function, *inputs: tf.TensorSpec):
            return tf.function(function, input_signature=inputs, autograph=False)

        self.adapt = compiled(self._adapt, images, labels, number)
        self.classify = compiled(self._classify, vector, images, images, number)
        self.classify_together = compiled(self._classify_together, vector, images, images, number)
        self.serve = compiled(self._serve, images, labels, images, number)

    def _serve(
        self,
        support_images: tf.Tensor,
        support_labels: tf.Tensor,
        query_images: tf.Tensor,
        steps: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """`adapt`, then `classify`: {"probabilities": float32 [q, c]}."""
        weights = tf.debugging.check_numerics(
            self._adapt(support_images, support_labels, steps), "the inner steps diverged: weights"
        )
        classes = _classes(support_labels)
        return {"probabilities": self._classify(weights, support_images, query_images, classes)}

    def _adapt(
        self, support_images: tf.Tensor, support_labels: tf.Tensor, steps: tf.Tensor
    ) -> tf.Tensor:
        """The weights [P] after so many inner steps on the support images."""
        with tf.control_dependencies(self._checks(support_images, support_labels, steps)):
            count = tf.identity(tf.size(support_labels))
        rows = inner_batches(count, steps, self._batch, self._replacement)
        split = self._grouping.split
        start = InnerState(
            split(self.weights.read_value()),
            split(self.second_moment.read_value()),
            self.time.read_value(),
        )
        examples = Examples(rows, tf.gather(support_labels, rows))
        problem = self._problem(_classes(support_labels))
        adapted = adapt(problem, start, self._encode(support_images), examples)
        return self._grouping.join(adapted.weights)

    def _classify(self, *inputs: tf.Tensor) -> tf.Tensor:
        """Probabilities [q, c] of queries that are looked at one by one beside the support.

        Takes adapted weights [P], support images, query images and c.
        """
        return self._probabilities(NON_TRANSDUCTIVE, *inputs)

    def _classify_together(self, *inputs: tf.Tensor) -> tf.Tensor:
        """As `classify`, of queries that are looked at all at once: they share batch statistics."""
        return self._probabilities(TRANSDUCTIVE, *inputs)

    def _probabilities(
        self,
        mode: str,
        weights: tf.Tensor,
        support_images: tf.Tensor,
        query_images: tf.Tensor,
        classes: tf.Tensor,
    ) -> tf.Tensor:
        some = tf.debugging.assert_positive(tf.shape(query_images)[0], "query images are needed")
        with tf.control_dependencies([some, *_in_range(query_images, "query")]):
            count = tf.identity(tf.shape(support_images)[0])
        rows = count + tf.range(tf.shape(query_images)[0])
        # Of an episode only the rows are read: there is nothing to count right or wrong.
        none = tf.zeros([0], tf.int32)
        episode = Episodes(Examples(none, none), tf.range(count), Examples(rows[None], none))
        table = self._encode(tf.concat([support_images, query_images], axis=0))
        problem = self._problem(classes)
        (scores,) = query_scores(problem, self._grouping.split(weights), table, episode, (mode,))
        return tf.nn.softmax(scores[0])

    def _problem(self, classes: tf.Tensor) -> Problem:
        net = self._net
        return Problem(
            lambda weights, images: logits(net, unpack(net, weights), images, Reading())[
                :, :classes
            ],
            summed_cross_entropy,
            self._rule,
            self._grouping,
        )

    def _encode(self, images: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return (images,) if self._net.pooling else (in_graph_patches(images, 2),)

    def _checks(self, images: tf.Tensor, labels: tf.Tensor, steps: tf.Tensor) -> list:
        """Assertions in the graph: an exported model has nothing else to refuse nonsense with."""
        way, check = self._net.way, tf.debugging
        return [
            check.assert_equal(
                tf.shape(images)[0], tf.size(labels), "as many support labels as images are needed"
            ),
            check.assert_positive(tf.size(labels), "support images are needed"),
            check.assert_non_negative(labels, "support labels are 0, 1, 2, ..."),
            check.assert_less(
                labels, way, f"these weights distinguish at most {counted(way, 'class')}"
            ),
            check.assert_non_negative(steps, "steps is a number of inner steps"),
            *_in_range(images, "support"),
        ]


def inner_batches(count: tf.Tensor, steps: tf.Tensor, batch: int, replacement: bool) -> tf.Tensor:
    """Which of `count` examples each inner step is taken on: int32 [steps, batch].

    As in evaluation (docs/semantics.md, 11), consecutive pieces of a shuffled pass over
    the examples, shuffled again when they run out; with `replacement` a shuffle for every batch.
    Shuffle p orders the examples i by `_hashed(p * count + i)`.
    """
    count = tf.cast(count, tf.int64)
    drawn = tf.cast(steps, tf.int64) * batch
    passes = tf.cast(steps, tf.int64) * -(-batch // count) if replacement else -(-drawn // count)
    keys = tf.reshape(_hashed(tf.range(passes * count)), [-1, count])
    shuffles = tf.argsort(keys, axis=1, stable=True)
    if replacement:  # a batch larger than the support goes through it more than once
        return tf.reshape(shuffles, [steps, -1])[:, :batch]
    return tf.reshape(tf.reshape(shuffles, [-1])[:drawn], [steps, batch])


def _hashed(numbers: tf.Tensor) -> tf.Tensor:
    """Int32, 0 ... 2^31 - 1, that look random, of whole numbers, int64 [n]."""

    def multiplied(x: tf.Tensor, factor: int) -> tf.Tensor:
        return tf.bitwise.bitwise_and(x * factor, LOW_WORD)

    def mixed(x: tf.Tensor, shift: int) -> tf.Tensor:
        return tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, tf.constant(shift, tf.int64)))

    x = multiplied(tf.bitwise.bitwise_and(numbers + 1, LOW_WORD), GOLDEN)
    x = multiplied(mixed(x, 16), FIRST)
    x = multiplied(mixed(x, 15), SECOND)
    return tf.cast(tf.bitwise.right_shift(mixed(x, 16), tf.constant(1, tf.int64)), tf.int32)


def _in_range(images: tf.Tensor, name: str) -> list:
    """Assertions that pixels go from 0 to 1, which NaN does not."""
    words = f"pixels of {name} images are numbers from 0 to 1"
    check = tf.debugging
    return [check.assert_non_negative(images, words), check.assert_less_equal(images, 1.0, words)]


def _classes(labels: tf.Tensor) -> tf.Tensor:
    return tf.reduce_max(labels) + 1
