"""A trained network as a SavedModel that adapts itself, for programs without this package.

    model = tf.saved_model.load(folder)
    model.signatures["serving_default"](
        support_images=..., support_labels=..., query_images=..., steps=50)["probabilities"]

Images are float32 [n, height, width, channels], 0 ... 1 (Omniglot: 0 is ink, 1 is paper). Labels
are int32, 0, 1, ...: where they are fewer than the network has outputs, the first outputs are
used. `steps`, an int32, is the number of inner steps. The answer, [queries, classes], is that of
FewShotClassifier.
"""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from supervised_reptile.inference.few_shot_model import FewShotModel
from supervised_reptile.runs.snapshot import Snapshot


def write_savedmodel(folder: Path, snapshot: Snapshot) -> None:
    """Write the model's files into `folder`, which exists (OSError where that is refused)."""
    model = FewShotModel(snapshot)
    try:
        tf.saved_model.save(model, str(folder), signatures={"serving_default": model.serve})
    except tf.errors.OpError as error:
        raise OSError(error.message) from error
