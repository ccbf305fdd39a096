"""The newest checkpoint of a run directory as a Snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from supervised_reptile.data.omniglot import is_turned
from supervised_reptile.errors import UserError
from supervised_reptile.networks.conv4 import ConvNet, unflatten
from supervised_reptile.runs.read_run import CONFIG, check_checkpoint, read_stored
from supervised_reptile.runs.run_dir import newest_readable
from supervised_reptile.runs.snapshot import Parts, Snapshot

_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def snapshot_of_run(path: Path) -> Snapshot:
    """The weights that a run would be evaluated with; the run may be going on meanwhile.

    A checkpoint that cannot be read is passed over with a warning, as in resuming.

    Raises:
      UserError: there is no run, or no readable checkpoint of it.
    """
    stored = read_stored(path)
    try:
        net = stored_net(stored.net)
    except (KeyError, TypeError) as error:
        raise UserError(f"{path / CONFIG}: not a readable network ({error})") from error
    check_checkpoint(path)
    return Snapshot(
        net=stored.net,
        config=stored.config,
        data=stored.data,
        drawings=any(is_turned(name) for name in stored.classes.get("train", ())),
        **(newest_readable(path, partial(_numbers, net)) or {}),
    )


def _numbers(net: ConvNet, prefix: str) -> dict[str, Any]:
    """What a Snapshot has of a checkpoint; raises one of BROKEN if it cannot be read."""
    reader = tf.train.load_checkpoint(prefix)
    return {
        "weights": named_parts(net, reader.get_tensor("weights" + _VALUE)),
        "second_moment": named_parts(net, reader.get_tensor("second_moment" + _VALUE)),
        "time": int(reader.get_tensor("time" + _VALUE)),
        "outer_steps": int(reader.get_tensor("step" + _VALUE)),
    }


def stored_net(fields: Mapping[str, Any]) -> ConvNet:
    """The network of the fields in a run's configuration or a snapshot."""
    return ConvNet(**{**fields, "image_shape": tuple(fields["image_shape"])})


def named_parts(net: ConvNet, vector: np.ndarray) -> Parts:
    """The flat vector, float [net.size], as float32 arrays by name."""
    if vector.shape != (net.size,):
        raise ValueError(f"{vector.size} numbers for a network of {net.size}")
    parts = unflatten(net, tf.constant(vector, tf.float32))
    return {name: part.numpy() for (name, _), part in zip(net.shapes, parts, strict=True)}
