"""Opening run directories: what starts, continues, evaluates or replaces a run."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from supervised_reptile.command_lines import flags
from supervised_reptile.config import (
    EVALUATION,
    TRAINING,
    Config,
    differing_flags,
    fields_of,
    fill_from,
    flag_of,
)
from supervised_reptile.errors import UserError
from supervised_reptile.learner import Learner
from supervised_reptile.request import Request
from supervised_reptile.run_dir import RunDir
from supervised_reptile.run_files import Stored, check_checkpoint, holds_run, read_stored
from supervised_reptile.shadow_run import AnyRun
from supervised_reptile.together import adopt_chiefs, open_run


def settle(request: Request) -> Config:
    """The configuration to use: where a stored run is continued, its values for flags not given.

    Raises:
      UserError: the directory holds a run and nobody said what to do with it, or a given
        flag contradicts it.
    """
    config, path = request.config, Path(request.config.checkpoint)
    if not (request.resume or config.pretrained):
        if holds_run(path) and not request.overwrite:
            raise UserError(
                f"{path} holds a run already: give --resume to continue it, --pretrained to "
                "evaluate it, or --overwrite to start anew"
            )
        return config
    roles = (TRAINING, EVALUATION) if request.resume else (TRAINING,)
    stored = read_stored(path, type(config)).config
    return settle_with(stored, request, roles, f"the run in {path}")


def tell_what_was_taken(request: Request, settled: Config) -> None:
    """Name the flags of evaluation that were not given and are those of training.

    The original program had their defaults then.
    """
    taken = [
        name
        for name in fields_of(EVALUATION, kind=type(settled))
        if getattr(settled, name) != getattr(request.config, name)
    ]
    if taken:
        others = [item.name for item in dataclasses.fields(settled) if item.name not in taken]
        words = shlex.join(flags(settled, omit=others, always=taken))
        print(f"Note: evaluated as in training, with {words}", file=sys.stderr)


def settle_with(stored: Config, request: Request, roles: tuple[str, ...], owner: str) -> Config:
    """`request.config`, with the values of `stored` for flags not given.

    Raises:
      UserError: a flag of one of the `roles` contradicts `stored`, which is `owner`'s.
    """
    config = request.config
    if differing := differing_flags(stored, config, request.explicit, roles):
        raise UserError(
            f"the flags contradict {owner}: {'; '.join(differing)}. "
            f"Leave them out, or use another {flag_of('checkpoint', type(config))} directory"
        )
    return fill_from(stored, config, request.explicit)


def check_directory(request: Request, stored: Stored) -> None:
    """Refuse, before anything slow, to continue in the directory what is not `stored`."""
    path = Path(stored.config.checkpoint)
    if holds_run(path) and not request.overwrite:
        check_same(path, stored, same_data=request.resume or bool(request.config.pretrained))


def check_same(path: Path, wanted: Stored, same_data: bool) -> None:
    """Refuse to put weights into another network, or to continue on other data (UserError)."""
    stored = read_stored(path, type(wanted.config))
    check_architecture(str(path), stored.net, wanted.net)
    if not same_data:
        return
    others = (
        f", or give {flag_of('pretrained')} {path}, which evaluates on others and stores nothing"
    )
    remedy = others if wanted.config.pretrained else ""
    if stored.data != wanted.data:
        kind = wanted.config.kind
        raise UserError(
            f"the {kind} are not those that the run in {path} was started with: name those{remedy}"
        )
    if not same_split(stored.classes, wanted.classes):
        raise UserError(
            f"the classes are not split as in the run in {path}: split them as then (the same "
            f"folders, the same --split){remedy}"
        )


def same_split(stored: Mapping[str, Sequence[str]], wanted: Mapping[str, Sequence[str]]) -> bool:
    """Whether the splits of `wanted` have the same classes in `stored`."""
    return all(list(names) == list(stored.get(split, ())) for split, names in wanted.items())


def check_architecture(name: str, stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse to put the weights `name`, of the network `stored`, into another one (UserError)."""
    differing = [
        f"{field} is {stored.get(field)} there and {value} here"
        for field, value in wanted.items()
        if stored.get(field) != (list(value) if isinstance(value, tuple) else value)
    ]
    if differing:
        raise UserError(f"{name} holds weights of another architecture: {'; '.join(differing)}")


@contextlib.contextmanager
def opened_run(stored: Stored, learner: Learner, overwrite: bool) -> Iterator[AnyRun]:
    """The run directory of `stored`, with its newest state, if there is one, in `learner`.

    In a group of workers the chief has the directory, and all of them have its state.
    """
    config, path = stored.config, Path(stored.config.checkpoint)
    with open_run(path, stored, overwrite, learner.group) as run:
        run.attach(learner)
        if isinstance(run, RunDir):
            if config.pretrained:
                check_checkpoint(path)
            run.restore()
        adopt_chiefs(run, learner)
        yield run
