"""What the workers of a run agree on before they start: the chief's configuration, data and state.

Only the chief needs the run directory; it may be on a disk that the others cannot see.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from supervised_reptile.algorithms.learner import Learner
from supervised_reptile.algorithms.worker_group import Group
from supervised_reptile.config import (
    EVALUATION,
    IMAGES,
    MEASURED,
    TRAINING,
    Config,
    differing_flags,
)
from supervised_reptile.errors import UserError
from supervised_reptile.runs.read_run import Stored
from supervised_reptile.runs.run_dir import RunDir
from supervised_reptile.training.shadow_run import AnyRun, ShadowRun

CHIEFS = (TRAINING, IMAGES, EVALUATION, MEASURED)  # roles of the fields in which they may not
OWN = ("data_dir", "threads")  # fields in which workers may differ


def tell(config: Config, group: Group) -> Config:
    """The chief's part of `take_chiefs`: returns `config`.

    Raises:
      UserError: several workers cannot run it.
    """
    if group.size > 1 and config.task_order == "sequential" and not config.pretrained:
        raise UserError(
            "--task-order sequential adapts to one task after the other, which several workers "
            "cannot share: leave it out, or train in one process"
        )
    group.broadcast_text(config.to_json())
    return config


def take_chiefs(own: Config, explicit: Collection[str], group: Group) -> Config:
    """The chief's configuration, with this worker's own places where it was given any.

    Raises:
      UserError: a flag that was given contradicts the chief's.
    """
    config = Config.from_json(group.broadcast_text(""))
    if differing := differing_flags(config, own, explicit, CHIEFS):
        raise UserError(
            f"the flags contradict the chief's: {'; '.join(differing)}. Give all workers the same"
        )
    places = {name: getattr(own, name) for name in OWN if name in explicit}
    return dataclasses.replace(config, **places)


def check_chiefs_data(stored: Stored, group: Group) -> None:
    """Refuse to work on other images or classes than the chief (UserError)."""
    classes = {split: list(names) for split, names in stored.classes.items()}
    content = json.dumps([stored.data, stored.net, classes]).encode()
    digest = np.frombuffer(hashlib.sha256(content).digest(), np.uint8).astype(np.int32)
    if not np.array_equal(group.broadcast(digest), digest):
        raise UserError(
            f"the images or their classes in {stored.config.data_dir} are not the chief's: give "
            "every worker the same data"
        )


def open_run(path: Path, stored: Stored, overwrite: bool, group: Group) -> AnyRun:
    """The run directory, on the chief."""
    return RunDir(path, stored, overwrite) if group.is_chief else ShadowRun(path)


def adopt_chiefs(run: AnyRun, learner: Learner) -> None:
    """Start where the chief's checkpoint is."""
    learner.adopt_chiefs()
    step = int(learner.group.broadcast(np.array([run.step], np.int64))[0])
    if isinstance(run, ShadowRun):
        run.step = step


@contextlib.contextmanager
def silenced(on: bool) -> Iterator[None]:
    """Keeps what is printed meanwhile to itself, if `on`."""
    with contextlib.ExitStack() as stack:
        if on:
            nothing = stack.enter_context(open(os.devnull, "w", encoding="utf8"))
            stack.enter_context(contextlib.redirect_stdout(nothing))
        yield
