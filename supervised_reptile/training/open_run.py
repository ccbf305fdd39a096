"""Opening run directories: what starts, continues, evaluates or replaces a run."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from supervised_reptile.algorithms.learner import Learner
from supervised_reptile.config import EVALUATION, MEASURED, Config, fields_of, flag_of
from supervised_reptile.data.dataset import Dataset
from supervised_reptile.data.layouts.layout import SPLITS
from supervised_reptile.errors import Interrupted, UserError
from supervised_reptile.flags import flags
from supervised_reptile.runs.read_run import Stored, check_checkpoint, holds_run, read_stored
from supervised_reptile.runs.run_dir import RunDir, is_writable
from supervised_reptile.training.evaluation import NOTHING_STORED
from supervised_reptile.training.request import Request, check_flags, settle
from supervised_reptile.training.shadow_run import AnyRun, ReadOnlyRun
from supervised_reptile.training.worker_agreement import adopt_chiefs, open_run


def load_settled(request: Request) -> tuple[Config, Dataset]:
    """The configuration to use and the images; UserError as `settle`."""
    config = settle(request)
    if not (request.resume or config.pretrained):
        return config, request.source.load(config)
    stored = read_stored(Path(config.checkpoint), type(config))
    return load_as_stored(request, config, stored)


def load_as_stored(request: Request, config: Config, stored: Stored) -> tuple[Config, Dataset]:
    """The images under `config`, made and divided as those of `stored`.

    What was not stored, because an older program wrote the run or the images decided it, follows
    from the network's fields and the classes. Returns the configuration that says so, too.
    """
    source, changes = request.source, {}
    dataset, shape = source.load(config), stored.image_shape
    if not source.image_shape and shape and shape != dataset.image_shape:
        changes = {"image_size": shape[0], "grey": shape[2] == 1}
    before, now = stored.classes, dataset.class_names
    if config.split is None and not same_split(before, now) and _all(before) == _all(now):
        counts = [len(before.get(split, ())) for split in SPLITS]
        changes["split"] = ",".join(str(count / sum(counts)) for count in counts)
    changes = {name: changes[name] for name in changes.keys() - request.explicit}
    if source.image_shape or not changes:
        return config, dataset
    config = dataclasses.replace(config, **changes)
    return config, source.load(config)


def _all(classes: Mapping[str, Sequence[str]]) -> list[str]:
    return sorted(name for names in classes.values() for name in names)


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
            f"the {kind} differ from those of the run in {path}: give the original ones{remedy}"
        )
    if not same_split(stored.classes, wanted.classes):
        raise UserError(
            f"the classes are not split as in the run in {path}: give the same folders and the "
            f"same --split{remedy}"
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
def opened_run(request: Request, stored: Stored, learner: Learner) -> Iterator[AnyRun]:
    """The run directory of `stored`, with its newest state, if there is one, in `learner`.

    In a group of workers the chief has the directory, and all of them have its state. A run that
    is only to be evaluated may be in a directory that cannot be written.
    """
    config, path = stored.config, Path(stored.config.checkpoint)
    if config.pretrained and learner.group.is_chief:
        check_checkpoint(path)
    if config.pretrained and not is_writable(path):
        print(f"Note: {path} cannot be written, so nothing is stored there", file=sys.stderr)
        run = ReadOnlyRun(path)
    else:
        run = open_run(path, stored, request.overwrite, learner.group)
    with run:
        run.attach(learner)
        if isinstance(run, RunDir) and run.restore() < config.outer_steps and request.resume:
            # Its newest checkpoint is perhaps damaged, and training not complete any more.
            before = read_stored(path, type(config)).config
            check_flags(before, request, run.step, f"the run in {path}")
        adopt_chiefs(run, learner)
        yield run


@contextlib.contextmanager
def how_to_go_on(request: Request) -> Iterator[None]:
    """Has the message of an evaluation that is interrupted say what is left and how to go on."""
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as stop:
        config = request.config
        number = getattr(stop, "signal_number", signal.SIGINT)
        if config.pretrained:
            raise Interrupted(f"{NOTHING_STORED} The same command starts again.", number) from stop
        command = request.source.command.replace("DIR", shlex.quote(config.data_dir))
        place = f"{flag_of('checkpoint', type(config))} {shlex.quote(config.checkpoint)}"
        others = shlex.join(_unstored_flags(request))
        raise Interrupted(
            f"{NOTHING_STORED} The training is complete and stored; to evaluate it: "
            f"{command} {place} --resume {others}".rstrip(),
            number,
        ) from stop


def _unstored_flags(request: Request) -> list[str]:
    """The flags given with --resume that say how to evaluate, which the run does not store."""
    kind = type(request.config)
    of_evaluation = set(fields_of(EVALUATION, MEASURED, kind=kind))
    given = of_evaluation & request.explicit if request.resume else set()
    omitted = {f.name for f in dataclasses.fields(kind)} - given
    return flags(request.config, omitted, always=given)
