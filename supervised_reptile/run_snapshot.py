"""The newest checkpoint of a run directory as a Snapshot."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from supervised_reptile.data.omniglot import is_turned
from supervised_reptile.errors import UserError
from supervised_reptile.models import ConvNet, unflatten
from supervised_reptile.run_dir import BROKEN
from supervised_reptile.run_files import CONFIG, checkpoints, read_stored, warn_of_lost_indices
from supervised_reptile.snapshot import Parts, Snapshot

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
    found = checkpoints(path)
    if not found:
        raise UserError(f"{path}: the run in it has no checkpoint yet; continue with --resume")
    warn_of_lost_indices(path)
    for prefix in found:
        try:
            reader = tf.train.load_checkpoint(prefix)
            numbers = {
                name: reader.get_tensor(name + _VALUE)
                for name in ("weights", "second_moment", "time", "step")
            }
            weights, second_moment = (
                named_parts(net, numbers[name]) for name in ("weights", "second_moment")
            )
        except BROKEN as error:
            reason = str(error).splitlines()[0]
            print(f"Warning: checkpoint {prefix} cannot be read ({reason})", file=sys.stderr)
            continue
        return Snapshot(
            net=stored.net,
            config=stored.config,
            weights=weights,
            second_moment=second_moment,
            time=int(numbers["time"]),
            outer_steps=int(numbers["step"]),
            data=stored.data,
            drawings=any(is_turned(name) for name in stored.classes.get("train", ())),
        )
    raise UserError(f"{path}: none of its checkpoints can be read")


def stored_net(fields: Mapping[str, Any]) -> ConvNet:
    """The network of the fields in a run's configuration or a snapshot."""
    return ConvNet(**{**fields, "image_shape": tuple(fields["image_shape"])})


def named_parts(net: ConvNet, vector: np.ndarray) -> Parts:
    """The flat vector, float [net.size], as float32 arrays by name."""
    if vector.shape != (net.size,):
        raise ValueError(f"{vector.size} numbers for a network of {net.size}")
    parts = unflatten(net, tf.constant(vector, tf.float32))
    return {name: part.numpy() for (name, _), part in zip(net.shapes, parts, strict=True)}
