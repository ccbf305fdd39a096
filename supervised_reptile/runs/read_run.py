"""What lies in a run directory, read without TensorFlow: for plots, comparisons and reports."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from supervised_reptile.config import Config, transduction_modes
from supervised_reptile.errors import UserError, first_few, one_line
from supervised_reptile.system.atomic_files import read_json, reading
from supervised_reptile.system.json_lines import read_lines

T = TypeVar("T")

CONFIG = "config.json"
CLASSES = "classes.json"
METRICS = "metrics.jsonl"
ALIGNMENT = "alignment.jsonl"
FITS = "fits.jsonl"
RESULTS = "results.json"
CHECKPOINTS = "checkpoints"
EPISODES = "episodes"

OF_RESULTS = "restore it from a copy, or evaluate again with --pretrained"
RESTORE_HINT = "restore it from a copy, or start again with --overwrite"


@dataclasses.dataclass(frozen=True)
class Stored:
    """What config.json says of a run."""

    config: Config
    net: Mapping[str, Any]  # the network's fields
    data: str  # the data set's checksum
    classes: Mapping[str, Sequence[str]]  # split -> names of its classes
    command: str = ""  # what started it; older programs did not store that

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(height, width, channels) of the network's images; empty if it is of something else."""
        shape = self.net.get("image_shape")
        return tuple(shape) if isinstance(shape, list | tuple) and len(shape) == 3 else ()


def holds_run(path: Path) -> bool:
    """Whether a run was started in `path`."""
    return (path / CONFIG).exists()


def is_run(path: Path) -> bool:
    """Whether `path` is a run directory, of which one file may be lost: its reader will name it."""
    return sum((path / name).exists() for name in (CONFIG, CLASSES, METRICS)) > 1


def subfolders(folder: Path) -> list[Path]:
    """The folders in `folder` by name, without hidden ones and links (UserError: unreadable)."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if os.path.isdir(entry.path))
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror})") from error
    below = (folder / name for name in names if not name.startswith("."))
    return [path for path in below if not path.is_symlink()]


def read_runs_in(
    paths: Sequence[Path], read: Callable[[Path], T], may_be_none: bool = False
) -> dict[Path, T]:
    """What `read` gives of each run directory in `paths`, or in folders below them.

    Standard error has a note on what is no run, and on runs that cannot be read.

    Raises:
      UserError: a path does not exist, or no run can be read (unless there `may_be_none`).
    """
    runs: dict[Path, Path] = {}  # resolved -> as it was given
    found: dict[Path, T] = {}
    others, faults = [], []
    for path in paths:
        check_exists(path)
        below = list(_runs_below(path, faults))
        others += [path] * (not below)
        for run in below:
            runs.setdefault(run.resolve(), run)
    for run in runs.values():
        try:
            found[run] = read(run)
        except UserError as error:
            faults.append(str(error))
    if not found and not may_be_none:
        if faults:
            raise UserError(first_few(faults, 1))
        raise UserError(f"{first_few(others)}: no run in it (a run directory has {CONFIG})")
    note_skipped(others, "no run")
    for fault in faults:
        print(f"Note: skipped {one_line(fault)}", file=sys.stderr)
    return found


def check_exists(path: Path) -> None:
    """Refuse a path with nothing there (UserError): a word was mistyped."""
    if not os.path.lexists(path):
        raise UserError(f"{path}: no such folder")


def note_skipped(paths: Sequence[Path], what: str) -> None:
    """Say on standard error that there is `what`, which is nothing of use, in `paths`."""
    if paths:
        print(f"Note: skipped, {what} in it: {one_line(first_few(paths))}", file=sys.stderr)


def _runs_below(path: Path, faults: list[str]) -> Iterator[Path]:
    """The run directories `path` or below it, not those in a run; adds to `faults`."""
    if is_run(path):
        yield path
    elif path.is_dir():
        try:
            folders = subfolders(path)
        except UserError as error:
            faults.append(str(error))
            return
        for folder in folders:
            yield from _runs_below(folder, faults)


def short_names(paths: Sequence[Path]) -> list[str]:
    """What to call runs: their paths below the folder that holds them all, or as given."""
    whole = [os.path.abspath(path) for path in paths]
    folder = os.path.commonpath([os.path.dirname(path) for path in whole]) if whole else ""
    if folder == os.sep:  # they have nothing in common
        return [path.as_posix() for path in paths]
    return [Path(os.path.relpath(path, folder)).as_posix() for path in whole]


def has_checkpoint(path: Path) -> bool:
    """Whether the run in `path` has a checkpoint (readable or not)."""
    return bool(checkpoints(path))


def check_checkpoint(path: Path) -> None:
    """Refuse to evaluate or show a run that has none yet (UserError)."""
    if not has_checkpoint(path):
        raise UserError(f"{path}: the run in it has no checkpoint yet; continue with --resume")


def checkpoints(path: Path) -> list[str]:
    """Prefixes of a run's checkpoints, newest first, whatever TensorFlow's index file says."""
    folder = path / CHECKPOINTS
    names = (re.fullmatch(r"ckpt-\d+\.index", path.name) for path in folder.glob("*.index"))
    prefixes = (str(folder / Path(name[0]).stem) for name in names if name)
    return sorted(prefixes, key=checkpoint_step, reverse=True)


def checkpoint_step(prefix: str) -> int:
    """Outer steps behind a checkpoint of `checkpoints`."""
    return int(prefix.rpartition("-")[2])


def warn_of_lost_indices(path: Path) -> None:
    """Name the checkpoints newer than all of `checkpoints` that have no index.

    One is what a killed program was about to save; or else its index was lost.
    """
    newest = checkpoint_step(found[0]) if (found := checkpoints(path)) else -1
    files = (path / CHECKPOINTS).glob("ckpt-*.data-*")
    names = (re.fullmatch(r"ckpt-(\d+)\.data-\d+-of-\d+", file.name) for file in files)
    for step in sorted({int(name[1]) for name in names if name}, reverse=True):
        if step > newest:
            prefix = path / CHECKPOINTS / f"ckpt-{step}"
            print(f"Warning: checkpoint {prefix} cannot be read (it has no index)", file=sys.stderr)


def read_stored(path: Path, kind: type[Config] = Config) -> Stored:
    """The configuration of the run in `path`.

    Raises:
      UserError: there is no run, it is of another kind, or its configuration cannot be read.
    """
    if not holds_run(path):
        raise UserError(f"{path}: no run in it ({CONFIG} is missing)")
    with _reading_configuration(path):
        content = read_json(path / CONFIG)
        found, command = str(content.get("kind", Config.kind)), str(content.get("command", ""))
    if found != kind.kind:
        other = command or ("reptile sine" if found == "sine waves" else "another command")
        raise UserError(f"{path}: a run of {other}: it learns {found}, not {kind.kind}")
    with _reading_configuration(path):
        config = kind.from_json(json.dumps(content["config"]))
        net, data = dict(content["net"]), str(content["data"])
    with reading(path / CLASSES, RESTORE_HINT):
        classes = read_json(path / CLASSES)
    return Stored(config, net, data, classes, command)


def kind_of(path: Path) -> str:
    """What the run in `path` learns: the `kind` of its configuration's class.

    Raises:
      UserError: there is no run, or its configuration cannot be read.
    """
    if not holds_run(path):
        raise UserError(f"{path}: no run in it ({CONFIG} is missing)")
    with _reading_configuration(path):
        return str(read_json(path / CONFIG).get("kind", Config.kind))


def _reading_configuration(path: Path) -> contextlib.AbstractContextManager[None]:
    return reading(path / CONFIG, RESTORE_HINT, "not a readable configuration")


def read_metrics(path: Path) -> dict[str, np.ndarray]:
    """The columns of a run's metrics: "step" and each split's accuracy, arrays of equal length.

    Empty before the first evaluation.

    Raises:
      UserError: they cannot be read.
    """
    return _columns(path / METRICS)


def read_alignment(path: Path) -> dict[str, np.ndarray]:
    """The columns of a run's alignment: "step" and what `alignment.summary` returns.

    Empty before the first evaluation.

    Raises:
      UserError: it cannot be read; there is none without --log-alignment.
    """
    return _columns(path / ALIGNMENT)


def read_fits(path: Path) -> dict[str, np.ndarray]:
    """The columns of a run on sine waves: "step" and "predictions", as `RunDir.log_fit` has them.

    Raises:
      UserError: they cannot be read; only `reptile sine` writes them.
    """
    return _columns(path / FITS)


def _columns(file: Path) -> dict[str, np.ndarray]:
    """The columns of a file of one JSON object a line."""
    remedy = "restore it from a copy, or let --resume leave out what is damaged"
    with reading(file, remedy):
        entries = read_lines(file)
        return {name: np.array([entry[name] for entry in entries]) for name in (*entries, {})[0]}


def read_evaluations(path: Path) -> list[dict[str, Any]]:
    """The evaluations in a run's results.json, oldest first; none if there is no such file.

    Raises:
      UserError: it cannot be read.
    """
    if not (path / RESULTS).exists():
        return []
    with reading(path / RESULTS, OF_RESULTS):
        return list(read_json(path / RESULTS)["evaluations"])


def evaluation_settings(config: Config, splits: tuple[str, ...]) -> dict[str, Any]:
    """What distinguishes evaluations of the same weights, as results.json keeps it."""
    return {
        "shots": config.shots,
        "eval_batch": config.eval_batch,
        "eval_steps": config.eval_steps,
        "eval_episodes": config.eval_episodes,
        "eval_seed": config.eval_seed,
        "modes": "+".join(transduction_modes(config)),
        "splits": "+".join(splits),
    }


def stored_evaluation(config: Config, splits: tuple[str, ...]) -> dict[str, Any]:
    """What the run of `config` has of its evaluation after all outer steps; empty without one.

    Others in its directory, of fewer outer steps or of other settings, are not meant.

    Raises:
      UserError: results.json cannot be read.
    """
    wanted = evaluation_settings(config, splits)
    for evaluation in read_evaluations(Path(config.checkpoint)):
        if evaluation["settings"] == wanted and evaluation["outer_steps"] == config.outer_steps:
            return evaluation
    return {}


def read_episodes(path: Path, evaluation: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Right answers of every episode of one of `read_evaluations`, int [episodes].

    Keys are "<mode>_<split>", as in "transductive_test".

    Raises:
      UserError: they cannot be read.
    """
    file = path / evaluation["episodes"]
    with reading(file, OF_RESULTS), np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)
