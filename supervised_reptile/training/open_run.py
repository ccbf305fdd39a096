"""Opening a run: its images, its network and its directory, with everything checked."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from supervised_reptile.algorithms.learner import Learner
from supervised_reptile.algorithms.workers import Workers
from supervised_reptile.config import EVALUATION, MEASURED, Config, fields_of, flag_of
from supervised_reptile.data.dataset import Dataset
from supervised_reptile.data.layouts.layout import SPLITS
from supervised_reptile.errors import Interrupted, UserError
from supervised_reptile.flags import flags
from supervised_reptile.runs.read_only_run import (
    AnyRun,
    ReadOnlyRun,
    load_checkpoint,
    load_snapshot,
)
from supervised_reptile.runs.read_run import Stored, check_checkpoint
from supervised_reptile.runs.run_dir import RunDir, is_writable
from supervised_reptile.training.evaluation import NOTHING_STORED
from supervised_reptile.training.request import Origin, Request, check_flags


def load_images(request: Request) -> tuple[Config, Dataset]:
    """The images, made and divided as those of the request's origin.

    What was not stored, because an older program wrote the run or the images decided it, follows
    from the network's fields and the classes. Returns the configuration that says so, too.
    """
    config, source = request.config, request.source
    dataset = source.load(config)
    if source.image_shape or request.origin is None:
        return config, dataset
    stored, changes = request.origin.stored, {}
    shape = stored.image_shape
    if shape and shape != dataset.image_shape:
        changes = {"image_size": shape[0], "grey": shape[2] == 1}
    before, now = stored.classes, dataset.class_names
    if config.split is None and not same_split(before, now) and _all(before) == _all(now):
        counts = [len(before.get(split, ())) for split in SPLITS]
        changes["split"] = ",".join(str(count / sum(counts)) for count in counts)
    changes = {name: changes[name] for name in changes.keys() - request.explicit}
    if not changes:
        return config, dataset
    config = dataclasses.replace(config, **changes)
    with contextlib.redirect_stderr(io.StringIO()):  # the same notes again
        return config, source.load(config)


def _all(classes: Mapping[str, Sequence[str]]) -> list[str]:
    return sorted(name for names in classes.values() for name in names)


def check_origin(origin: Origin, wanted: Stored) -> None:
    """Refuse to put weights into another network, or to go on with other data (UserError).

    Weights by name are evaluated on any data; standard error says if they are others.
    """
    check_architecture(origin, wanted.net)
    other_data = origin.stored.data != wanted.data
    classes = origin.stored.classes
    other_classes = not same_split(classes, wanted.classes)
    if origin.snapshot:
        if other_data:
            _note(f"these are not the images that {origin.name} was trained on")
        if classes and other_classes:
            _note(
                f"the classes are not split as for {origin.name}, which may have trained on some "
                "of these"
            )
        return
    config = wanted.config
    remedy = ""
    if config.pretrained:
        remedy = (
            f", or give {flag_of('pretrained')} {config.checkpoint}, which evaluates on others and "
            "stores nothing"
        )
    if other_data:
        raise UserError(
            f"the {config.kind} differ from those of {origin.name}: give the original ones{remedy}"
        )
    if other_classes:
        raise UserError(
            f"the classes are not split as in {origin.name}: give the same folders and the same "
            f"--split{remedy}"
        )


def check_architecture(origin: Origin, wanted: Mapping[str, Any]) -> None:
    """Refuse to put the origin's weights into the network `wanted` (UserError)."""
    differing = [
        f"{field} is {origin.stored.net.get(field)} there and {value} here"
        for field, value in wanted.items()
        if origin.stored.net.get(field) != (list(value) if isinstance(value, tuple) else value)
    ]
    if differing:
        raise UserError(
            f"{origin.name} holds weights of another architecture: {'; '.join(differing)}"
        )


def same_split(stored: Mapping[str, Sequence[str]], wanted: Mapping[str, Sequence[str]]) -> bool:
    """Whether the splits of `wanted` have the same classes in `stored`."""
    return all(list(names) == list(stored.get(split, ())) for split, names in wanted.items())


def check_workers_agree(workers: Workers, stored: Stored) -> None:
    """Refuse to work on other settings, images or classes than the first worker (UserError)."""
    config = dataclasses.replace(stored.config, data_dir="", checkpoint="", threads=0)
    classes = {split: list(names) for split, names in stored.classes.items()}
    content = json.dumps([config.to_json(), stored.data, classes]).encode()
    digest = np.frombuffer(hashlib.sha256(content).digest(), np.uint8).astype(np.int32)
    agree = np.array([np.array_equal(workers.from_first(digest), digest)], np.int32)
    if workers.sum(agree)[0] < workers.size:
        raise UserError(
            "the workers' settings, images or classes are not all the same: give all of them the "
            f"same flags, the same data in {stored.config.data_dir} and the same run directory"
        )


@contextlib.contextmanager
def open_directory(request: Request, stored: Stored, learner: Learner) -> Iterator[AnyRun]:
    """The run directory of `stored`, with the origin's newest state, if any, in `learner`.

    The first of several workers has the directory, and all have its state. A run that is only to
    be evaluated may be in a directory that cannot be written.
    """
    config, origin, path = stored.config, request.origin, Path(stored.config.checkpoint)
    workers = learner.workers
    if origin and origin.snapshot:
        run = ReadOnlyRun(path, partial(load_snapshot, origin.snapshot))
    elif workers.rank:
        run = ReadOnlyRun(path)
    else:
        run = _open_own(config, path, stored, request.overwrite)
    with run:
        run.attach(learner)
        if isinstance(run, RunDir):
            done = run.restore()
            if origin and done < config.outer_steps:
                # Its newest checkpoint is perhaps damaged, and training not complete any more.
                check_flags(origin._replace(outer_steps=done), request)
        learner.take_from_first_worker()
        step = int(workers.from_first(np.array([run.step], np.int64))[0])
        if isinstance(run, ReadOnlyRun):
            run.step = step
        yield run


def _open_own(config: Config, path: Path, stored: Stored, overwrite: bool) -> AnyRun:
    if config.pretrained:
        check_checkpoint(path)
        if not is_writable(path):
            _note(f"{path} cannot be written, so nothing is stored there")
            return ReadOnlyRun(path, partial(load_checkpoint, path))
    return RunDir(path, stored, overwrite)


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
        directory = f"{flag_of('checkpoint', type(config))} {shlex.quote(config.checkpoint)}"
        others = shlex.join(_unstored_flags(request))
        raise Interrupted(
            f"{NOTHING_STORED} The training is complete and stored; to evaluate it: "
            f"{command} {directory} --resume {others}".rstrip(),
            number,
        ) from stop


def _unstored_flags(request: Request) -> list[str]:
    """The flags given with --resume that say how to evaluate, which the run does not store."""
    kind = type(request.config)
    of_evaluation = set(fields_of(EVALUATION, MEASURED, kind=kind))
    given = of_evaluation & request.explicit if request.resume else set()
    omitted = {f.name for f in dataclasses.fields(kind)} - given
    return flags(request.config, omitted, always=given)


def _note(message: str) -> None:
    print(f"Note: {message}", file=sys.stderr)
