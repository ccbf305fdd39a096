"""Request: what a command line asked for, and what a stored run makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from supervised_reptile.config import (
    EVALUATED,
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
from supervised_reptile.runs.read_run import (
    Stored,
    checkpoint_step,
    checkpoints,
    holds_run,
    read_stored,
)
from supervised_reptile.system.tf_config import Cluster
from supervised_reptile.training.sources import SOURCES, Source

OWN = "reptile train DIR"  # whose images have no shape of their own

# (outer step, accuracy by split): called after each evaluation during training
Callback = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class Request:
    """What the command line asked for."""

    config: Config
    explicit: frozenset[str]  # fields that were given, not defaulted
    source: Source
    resume: bool = False
    overwrite: bool = False
    cluster: Cluster | None = None  # of workers that run the same
    callbacks: tuple[Callback, ...] = ()  # hear of each evaluation during training


def settle(request: Request) -> Config:
    """The configuration to use: where a stored run is continued, its values for flags not given.

    Raises:
      UserError: the directory holds a run and nobody said what to do with it, or it is another
        command's, or a given flag contradicts it.
    """
    config, path = request.config, Path(request.config.checkpoint)
    if not (request.resume or config.pretrained):
        if holds_run(path) and not request.overwrite:
            raise UserError(
                f"{path} holds a run already: give --resume to continue it, --pretrained to "
                "evaluate it, or --overwrite to start again"
            )
        return config
    stored = read_stored(path, type(config))
    check_command(path, stored, request.source)
    done = checkpoint_step(found[0]) if (found := checkpoints(path)) else 0
    check_flags(stored.config, request, done, f"the run in {path}")
    roles = RESUMED if request.resume else EVALUATED
    return fill_from(stored.config, config, request.explicit, roles)


def check_flags(stored: Config, request: Request, steps_done: int, owner: str) -> None:
    """Refuse flags that contradict `stored`, which is `owner`'s (UserError).

    What only evaluation reads is free once training is complete, and with --pretrained.
    """
    config = request.config
    roles = (TRAINING,) if names_weights(config) else (TRAINING, IMAGES)
    if request.resume and steps_done < stored.outer_steps:
        roles = (*roles, EVALUATION, MEASURED)
    if differing := differing_flags(stored, config, request.explicit, roles):
        raise UserError(
            f"the flags contradict {owner}: {'; '.join(differing)}. "
            f"Leave them out, or use another {flag_of('checkpoint', type(config))} directory"
        )


def check_command(name: Path | str, stored: Stored, source: Source, by_name: bool = False) -> None:
    """Refuse to go on with the run of another command, or weights for images of others (UserError).

    by_name: whether any images of the right shape will do.
    """
    shape, own = stored.image_shape, source.image_shape
    other = stored.command or next((s.command for s in SOURCES if s.image_shape == shape), OWN)
    misshapen = bool(own and shape and shape != own)
    if misshapen or (stored.command and other != source.command and not by_name):
        raise UserError(
            f"{name} was trained by {other}, not by {source.command}: continue or evaluate it with "
            f"{other}"
        )
