"""Request: what a command line or a call asks for, and what a stored run makes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from supervised_reptile.config import (
    EVALUATED,
    EVALUATED_BY_NAME,
    EVALUATION,
    IMAGES,
    MEASURED,
    RESUMED,
    TRAINING,
    Config,
    differing_flags,
    fill_from,
    flag_of,
    names_weights,
)
from supervised_reptile.errors import UserError
from supervised_reptile.runs.open_weights import open_snapshot
from supervised_reptile.runs.read_run import (
    Stored,
    checkpoint_step,
    checkpoints,
    holds_run,
    read_stored,
)
from supervised_reptile.runs.snapshot import Snapshot
from supervised_reptile.system.package_files import PRETRAINED
from supervised_reptile.system.start_tensorflow import start_tensorflow
from supervised_reptile.training.sources import SOURCES, Source

OWN = "reptile train DIR"  # whose images have no shape of their own

# (outer step, accuracy by split): called after each evaluation during training
Callback = Callable[[int, Mapping[str, float]], None]


class Origin(NamedTuple):
    """The run that is continued or evaluated, or the weights that are evaluated by name."""

    name: str  # for messages
    stored: Stored
    outer_steps: int  # behind its newest weights
    snapshot: Snapshot | None = None  # of weights by name


@dataclass(frozen=True)
class Request:
    """What is asked for."""

    config: Config
    explicit: frozenset[str]  # fields that were given, not defaulted
    source: Source
    resume: bool = False
    overwrite: bool = False
    callbacks: tuple[Callback, ...] = ()  # called after each evaluation during training
    origin: Origin | None = None  # found by `resolve`


def resolve(request: Request) -> Request:
    """The request with its origin, and with the origin's values for flags that were not given.

    Raises:
      UserError: the directory holds a run and nobody said what to do with it, or there is none
        where one is needed, or it is another command's, or a given flag contradicts it.
    """
    origin = _find_origin(request)
    if origin is None:
        return request
    check_command(origin, request.source)
    check_flags(origin, request)
    roles = RESUMED if request.resume else EVALUATED_BY_NAME if origin.snapshot else EVALUATED
    config = fill_from(origin.stored.config, request.config, request.explicit, roles)
    return dataclasses.replace(request, config=config, origin=origin)


def _find_origin(request: Request) -> Origin | None:
    config = request.config
    if names_weights(config):
        return _named_weights(str(config.pretrained), config.threads)
    path = Path(config.checkpoint)
    if request.resume or config.pretrained:
        done = checkpoint_step(found[0]) if (found := checkpoints(path)) else 0
        return Origin(f"the run in {path}", read_stored(path, type(config)), done)
    if holds_run(path) and not request.overwrite:
        raise UserError(
            f"{path} holds a run already: give --resume to continue it, --pretrained to "
            "evaluate it, or --overwrite to start again"
        )
    return None


def _named_weights(name: str, threads: int) -> Origin:
    """The weights `name`; their classes are known if they are a run's."""
    if name in PRETRAINED or not holds_run(Path(name)):
        snapshot = open_snapshot(name)
        stored = Stored(snapshot.config, snapshot.net, snapshot.data, {})
        return Origin(name, stored, snapshot.outer_steps, snapshot)
    start_tensorflow(threads)  # which reads a run's checkpoints
    snapshot = open_snapshot(name)
    return Origin(name, read_stored(Path(name)), snapshot.outer_steps, snapshot)


def check_flags(origin: Origin, request: Request) -> None:
    """Refuse flags that contradict the origin (UserError).

    What only evaluation reads is free once training is complete, and with --pretrained.
    """
    config, stored = request.config, origin.stored.config
    roles = (TRAINING,) if origin.snapshot else (TRAINING, IMAGES)
    if request.resume and origin.outer_steps < stored.outer_steps:
        roles = (*roles, EVALUATION, MEASURED)
    if differing := differing_flags(stored, config, request.explicit, roles):
        other = flag_of("checkpoint", type(config))
        remedy = "give other weights" if names_weights(config) else f"use another {other} directory"
        raise UserError(
            f"the flags contradict {origin.name}: {'; '.join(differing)}. "
            f"Leave them out, or {remedy}"
        )


def check_command(origin: Origin, source: Source) -> None:
    """Refuse another command's run, or weights for images of another shape (UserError)."""
    stored, own = origin.stored, source.image_shape
    shape = stored.image_shape
    other = stored.command or next((s.command for s in SOURCES if s.image_shape == shape), OWN)
    misshapen = bool(own and shape and shape != own)
    other_command = bool(stored.command) and other != source.command and not origin.snapshot
    if misshapen or other_command:
        name = origin.name.removeprefix("the run in ")
        raise UserError(
            f"{name} was trained by {other}, not by {source.command}: continue or evaluate it with "
            f"{other}"
        )
