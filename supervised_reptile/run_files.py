"""What lies in a run directory, read without TensorFlow: for plots, comparisons and reports."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from supervised_reptile.config import Config
from supervised_reptile.documents import read_document
from supervised_reptile.errors import UserError
from supervised_reptile.files import reading
from supervised_reptile.line_log import read_lines
from supervised_reptile.modes import transduction_modes

CONFIG = "config.json"
CLASSES = "classes.json"
METRICS = "metrics.jsonl"
ALIGNMENT = "alignment.jsonl"
FITS = "fits.jsonl"
RESULTS = "results.json"
CHECKPOINTS = "checkpoints"
EPISODES = "episodes"

ANEW = "restore it from a copy, or start anew with --overwrite"


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


def check_runs(paths: Sequence[Path]) -> list[Path]:
    """The run directories that were given, each once.

    Raises:
      UserError: one of them holds no run.
    """
    for path in paths:
        if not holds_run(path):
            raise UserError(f"{path}: no run in it ({CONFIG} is missing)")
    return list({path.resolve(): path for path in paths}.values())


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
    check_runs([path])
    with _reading_configuration(path):
        content = read_document(path / CONFIG)
        found, command = str(content.get("kind", Config.kind)), str(content.get("command", ""))
    if found != kind.kind:
        other = command or ("reptile sine" if found == "sine waves" else "another command")
        raise UserError(f"{path}: a run of {other}: it learns {found}, not {kind.kind}")
    with _reading_configuration(path):
        config = kind.from_json(json.dumps(content["config"]))
        net, data = dict(content["net"]), str(content["data"])
    with reading(path / CLASSES, ANEW):
        classes = read_document(path / CLASSES)
    return Stored(config, net, data, classes, command)


def kind_of(path: Path) -> str:
    """What the run in `path` learns: the `kind` of its configuration's class.

    Raises:
      UserError: there is no run, or its configuration cannot be read.
    """
    check_runs([path])
    with _reading_configuration(path):
        return str(read_document(path / CONFIG).get("kind", Config.kind))


def _reading_configuration(path: Path) -> contextlib.AbstractContextManager[None]:
    return reading(path / CONFIG, ANEW, "not a readable configuration")


def read_metrics(path: Path) -> dict[str, np.ndarray]:
    """The columns of a run's metrics: "step" and each split's accuracy, arrays of equal length.

    Empty before the first look.

    Raises:
      UserError: they cannot be read.
    """
    return _columns(path / METRICS)


def read_alignment(path: Path) -> dict[str, np.ndarray]:
    """The columns of a run's alignment: "step" and what `alignment.summary` returns.

    Empty before the first look.

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
        entries, _, fault = read_lines(file)
        if fault:
            raise ValueError(fault)
        return {name: np.array([entry[name] for entry in entries]) for name in (*entries, {})[0]}


def read_evaluations(path: Path) -> list[dict[str, Any]]:
    """The evaluations in a run's results.json, oldest first; none if there is no such file.

    Raises:
      UserError: it cannot be read.
    """
    if not (path / RESULTS).exists():
        return []
    with reading(path / RESULTS, "restore it from a copy, or evaluate again with --pretrained"):
        return list(read_document(path / RESULTS)["evaluations"])


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
    remedy = "restore it from a copy, or evaluate again with --pretrained"
    with reading(file, remedy), np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)
