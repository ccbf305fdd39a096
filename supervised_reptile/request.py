"""Request: what a command line asked for, and what a stored run makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from supervised_reptile.cluster import Cluster
from supervised_reptile.config import (
    EVALUATED,
    EVALUATION,
    IMAGES,
    IN_CHECKPOINT,
    MEASURED,
    RESUMED,
    TRAINING,
    Config,
    differing_flags,
    fill_from,
    flag_of,
)
from supervised_reptile.errors import UserError
from supervised_reptile.run_files import (
    Stored,
    checkpoint_step,
    checkpoints,
    holds_run,
    read_stored,
)
from supervised_reptile.sources import SOURCES, Source


@dataclass(frozen=True)
class Request:
    """What the command line asked for."""

    config: Config
    explicit: frozenset[str]  # fields that were given, not defaulted
    source: Source
    resume: bool = False
    overwrite: bool = False
    cluster: Cluster | None = None  # of workers that run the same


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
                "evaluate it, or --overwrite to start anew"
            )
        return config
    stored = read_stored(path, type(config))
    _check_command(path, stored, request.source)
    done = checkpoint_step(found[0]) if (found := checkpoints(path)) else 0
    check_flags(stored.config, request, done, f"the run in {path}")
    roles = RESUMED if request.resume else EVALUATED
    return fill_from(stored.config, config, request.explicit, roles)


def check_flags(stored: Config, request: Request, steps_done: int, owner: str) -> None:
    """Refuse flags that contradict `stored`, which is `owner`'s (UserError).

    What only evaluation reads is free once training is complete, and with --pretrained.
    """
    roles: tuple[str, ...] = (TRAINING,)
    if request.config.pretrained in (None, IN_CHECKPOINT):
        roles += (IMAGES,)
    if request.resume and steps_done < stored.outer_steps:
        roles += (EVALUATION, MEASURED)
    config = request.config
    if differing := differing_flags(stored, config, request.explicit, roles):
        raise UserError(
            f"the flags contradict {owner}: {'; '.join(differing)}. "
            f"Leave them out, or use another {flag_of('checkpoint', type(config))} directory"
        )


def _check_command(path: Path, stored: Stored, source: Source) -> None:
    """Refuse to go on with the run of another command (UserError)."""
    shape, own = stored.net.get("image_shape"), source.image_shape
    if stored.command and stored.command != source.command:
        other = stored.command
    elif own and shape and tuple(shape) != own:  # an older program did not store the command
        other = next(
            (s.command for s in SOURCES if s.image_shape == tuple(shape)), "reptile train DIR"
        )
    else:
        return
    raise UserError(
        f"{path} holds a run of {other}, not of {source.command}: continue or evaluate it with "
        f"{other}"
    )
