"""A trained network as a SavedModel that adapts itself, for programs without this package.

    model = tf.saved_model.load(folder)
    model.signatures["serving_default"](images=..., labels=..., batches=..., queries=...)

Images are float32 [n, height, width, channels], 0 ... 1 (Omniglot: 0 is ink, 1 is paper). Labels
are 0, 1, ...: where they are fewer than the network has outputs, the first outputs are used.
"""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from supervised_reptile.errors import UserError
from supervised_reptile.evaluate import NON_TRANSDUCTIVE, Episodes, query_scores
from supervised_reptile.export import verify_export
from supervised_reptile.inner import (
    Examples,
    InnerRule,
    InnerState,
    Problem,
    adapt,
    summed_cross_entropy,
)
from supervised_reptile.layers import in_graph_patches
from supervised_reptile.models import Reading, grouping, logits, unpack
from supervised_reptile.run_snapshot import stored_net
from supervised_reptile.snapshot import Snapshot, flat

Tensors = dict[str, tf.Tensor]


class FewShotModel(tf.Module):
    """Weights and Adam's state, and what can be done with them.

    Shapes: P weights, n images, s inner steps on b images each. `batches`, int32 [s, b], says
    which images each inner step is taken on.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__("few_shot_model")
        self._net = stored_net(dict(snapshot.net))
        config = snapshot.config
        self._rule = InnerRule(config.inner_rate, config.sgd, config.weight_decay)
        self._grouping = grouping(self._net)
        self.weights = tf.Variable(flat(snapshot.weights), trainable=False)
        self.second_moment = tf.Variable(flat(snapshot.second_moment), trainable=False)
        self.time = tf.Variable(snapshot.time, dtype=tf.int64, trainable=False)

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The functions by the names under which they are served."""
        vector = tf.TensorSpec([self._net.size], tf.float32)
        time = tf.TensorSpec([], tf.int64)
        images = tf.TensorSpec([None, *self._net.image_shape], tf.float32)
        labels = tf.TensorSpec([None], tf.int32)
        batches = tf.TensorSpec([None, None], tf.int32)
        return {
            "serving_default": self.classify.get_concrete_function(images, labels, batches, images),
            "start": self.start.get_concrete_function(),
            "adapt": self.adapt.get_concrete_function(
                vector, vector, time, images, labels, batches
            ),
            "predict": self.predict.get_concrete_function(vector, images),
        }

    @tf.function(autograph=False)
    def classify(
        self, images: tf.Tensor, labels: tf.Tensor, batches: tf.Tensor, queries: tf.Tensor
    ) -> Tensors:
        """Adapt to `images`, then name each query beside them: probabilities [queries, classes]."""
        state = self._adapted(self._start(), images, labels, batches)
        count = tf.shape(images)[0]
        rows = count + tf.range(tf.shape(queries)[0])
        episode = Episodes(Examples(None, None), tf.range(count), Examples(rows[None], None))
        table = self._encode(tf.concat([images, queries], axis=0))
        problem = self._problem(_classes(labels))
        (scores,) = query_scores(problem, state.weights, table, episode, (NON_TRANSDUCTIVE,))
        return {"probabilities": tf.nn.softmax(scores[0])}

    @tf.function(autograph=False)
    def start(self) -> Tensors:
        """What adapting starts from: weights [P], Adam's second_moment [P] and time."""
        return self._named(self._start())

    @tf.function(autograph=False)
    def adapt(
        self,
        weights: tf.Tensor,
        second_moment: tf.Tensor,
        time: tf.Tensor,
        images: tf.Tensor,
        labels: tf.Tensor,
        batches: tf.Tensor,
    ) -> Tensors:
        """The state after an inner step on each of `batches`."""
        split = self._grouping.split
        state = InnerState(split(weights), split(second_moment), time)
        return self._named(self._adapted(state, images, labels, batches))

    @tf.function(autograph=False)
    def predict(self, weights: tf.Tensor, images: tf.Tensor) -> Tensors:
        """Class scores, logits [n, way], with batch statistics over all of `images`."""
        problem = self._problem(self._net.way)
        return {"logits": problem.predict(self._grouping.split(weights), self._encode(images))}

    def _start(self) -> InnerState:
        split = self._grouping.split
        return InnerState(split(self.weights), split(self.second_moment), self.time.read_value())

    def _named(self, state: InnerState) -> Tensors:
        join = self._grouping.join
        return {
            "weights": join(state.weights),
            "second_moment": join(state.second_moment),
            "time": tf.identity(state.time),
        }

    def _adapted(
        self, state: InnerState, images: tf.Tensor, labels: tf.Tensor, batches: tf.Tensor
    ) -> InnerState:
        examples = Examples(batches, tf.gather(labels, batches))
        return adapt(self._problem(_classes(labels)), state, self._encode(images), examples)

    def _problem(self, classes: tf.Tensor | int) -> Problem:
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


def write_savedmodel(folder: Path, snapshot: Snapshot) -> None:
    """Write the model's files into `folder`, which exists."""
    model = FewShotModel(snapshot)
    tf.saved_model.save(model, str(folder), signatures=model.signatures())


def load_savedmodel(folder: Path) -> tf.Module:
    """The model of an export, after its checksums were found right.

    Raises:
      UserError: it is not a SavedModel's export, or a file is not as it was written.
    """
    if verify_export(folder)["kind"] != "savedmodel":
        raise UserError(f"{folder}: not an export of --format savedmodel")
    return tf.saved_model.load(str(folder))


def _classes(labels: tf.Tensor) -> tf.Tensor:
    return tf.reduce_max(labels) + 1
