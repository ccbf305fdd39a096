"""What lies in a run directory, read without TensorFlow: for plots, comparisons and reports."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from supervised_reptile.config import Config
from supervised_reptile.errors import UserError
from supervised_reptile.modes import transduction_modes

CONFIG = "config.json"
CLASSES = "classes.json"
METRICS = "metrics.jsonl"
ALIGNMENT = "alignment.jsonl"
FITS = "fits.jsonl"
RESULTS = "results.json"
CHECKPOINTS = "checkpoints"
EPISODES = "episodes"


@dataclasses.dataclass(frozen=True)
class Stored:
    """What config.json says of a run."""

    config: Config
    net: Mapping[str, Any]  # the network's fields
    data: str  # the data set's checksum
    classes: Mapping[str, Sequence[str]]  # split -> names of its classes


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


def checkpoints(path: Path) -> list[str]:
    """Prefixes of a run's checkpoints, newest first, whatever TensorFlow's index file says."""
    folder = path / CHECKPOINTS
    prefixes = (str(path.with_suffix("")) for path in folder.glob("ckpt-*.index"))
    return sorted(prefixes, key=checkpoint_step, reverse=True)


def checkpoint_step(prefix: str) -> int:
    """Outer steps behind a checkpoint of `checkpoints`."""
    return int(prefix.rpartition("-")[2])


def read_stored(path: Path, kind: type[Config] = Config) -> Stored:
    """The configuration of the run in `path`.

    Raises:
      UserError: there is no run, it is of another kind, or its configuration cannot be read.
    """
    check_runs([path])
    try:
        content = json.loads((path / CONFIG).read_text(encoding="utf8"))
        if (found := content.get("kind", Config.kind)) != kind.kind:
            raise UserError(f"{path}: the run in it learns {found}, not {kind.kind}")
        config = kind.from_json(json.dumps(content["config"]))
        classes = json.loads((path / CLASSES).read_text(encoding="utf8"))
        return Stored(config, content["net"], content["data"], classes)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path / CONFIG}: not a readable configuration ({error})") from error


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
    try:
        with file.open(encoding="utf8") as text:
            # A run at work, or killed, may have half a line at the end.
            lines = [json.loads(line) for line in text if line.endswith("\n")]
        return {name: np.array([line[name] for line in lines]) for name in (lines or [{}])[0]}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{file}: not readable ({error})") from error


def read_evaluations(path: Path) -> list[dict[str, Any]]:
    """The evaluations in a run's results.json, oldest first; none if there is no such file.

    Raises:
      UserError: it cannot be read.
    """
    try:
        content = json.loads((path / RESULTS).read_text(encoding="utf8"))
        return list(content["evaluations"])
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path / RESULTS}: not readable ({error})") from error


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


def read_episodes(path: Path, evaluation: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Right answers of every episode of one of `read_evaluations`, int [episodes].

    Keys are "<mode>_<split>", as in "transductive_test".

    Raises:
      UserError: they cannot be read.
    """
    file = path / evaluation["episodes"]
    try:
        with np.load(file) as arrays:
            return dict(arrays)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{file}: not readable ({error})") from error
