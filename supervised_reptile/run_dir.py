"""RunDir: everything one run leaves behind, in one directory.

    config.json         the configuration, the data's checksum, the network
    classes.json        the names of the classes in each split
    metrics.jsonl       one JSON object a line: accuracies seen during training
    tensorboard/        the same for TensorBoard
    checkpoints/        the last few checkpoints of weights, Adam state and outer step
    results.json        accuracies with confidence intervals
    episodes/           right answers per evaluation episode (.npz)

Files are replaced atomically. A resumed run continues from the last checkpoint and cuts
the metrics back to it, so it ends in the same bytes as one that was never interrupted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from supervised_reptile.config import Config
from supervised_reptile.errors import UserError
from supervised_reptile.learner import Learner

KEPT_CHECKPOINTS = 3
CONFIG = "config.json"
CLASSES = "classes.json"
METRICS = "metrics.jsonl"
RESULTS = "results.json"
# What tf.summary.scalar adds for TensorBoard, which need not be installed to write for it.
_SCALAR = tf.compat.v1.SummaryMetadata(
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
)
OWN = (
    CONFIG,
    CLASSES,
    METRICS,
    RESULTS,
    "tensorboard",
    "checkpoints",
    "episodes",
    "learning_curve.png",
)


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


def has_checkpoint(path: Path) -> bool:
    """Whether the run in `path` has a checkpoint (readable or not)."""
    return bool(_checkpoints(path / "checkpoints"))


def read_stored(path: Path) -> Stored:
    """The configuration of the run in `path`.

    Raises:
      UserError: there is no run, or its configuration cannot be read.
    """
    if not holds_run(path):
        raise UserError(f"{path}: no run to continue or evaluate in it ({CONFIG} is missing)")
    try:
        content = json.loads((path / CONFIG).read_text(encoding="utf8"))
        config = Config.from_json(json.dumps(content["config"]))
        classes = json.loads((path / CLASSES).read_text(encoding="utf8"))
        return Stored(config, content["net"], content["data"], classes)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path / CONFIG}: not a readable configuration ({error})") from error


class RunDir:
    """An open run directory; no second process can open it. A context manager."""

    def __init__(self, path: Path, stored: Stored, overwrite: bool = False) -> None:
        """Open `path`, starting a run there if it holds none or `overwrite` is given.

        Raises:
          UserError: the directory cannot be written, or another process has it open.
        """
        self.path = path
        self.training_seconds = 0.0
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(path)
            if overwrite:
                _remove_run(path)
            if not holds_run(path):
                if _checkpoints(path / "checkpoints"):
                    raise UserError(
                        f"{path} holds checkpoints of a run whose {CONFIG} is gone: give "
                        "--overwrite to start anew, or use another directory"
                    )
                self._start(stored)
            self._metrics = (path / METRICS).open("a", encoding="utf8")
        self._writers: dict[str, tf.summary.SummaryWriter] = {}

    def __enter__(self) -> RunDir:
        return self

    def __exit__(self, *_: object) -> None:
        # Whatever could not be written was reported when it was first tried.
        for file in (self._metrics, *self._writers.values()):
            with contextlib.suppress(OSError, tf.errors.OpError):
                file.close()
        self._lock.close()

    def attach(self, learner: Learner) -> None:
        """Make `learner` the owner of the weights that are saved and restored here."""
        self._learner = learner
        self._step = tf.Variable(0, dtype=tf.int64)
        self._metrics_bytes = tf.Variable(0, dtype=tf.int64)
        self._seconds = tf.Variable(0.0, dtype=tf.float64)
        self._checkpoint = tf.train.Checkpoint(
            weights=learner.weights,
            second_moment=learner.second_moment,
            time=learner.time,
            step=self._step,
            metrics_bytes=self._metrics_bytes,
            seconds=self._seconds,
        )
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, str(self.path / "checkpoints"), KEPT_CHECKPOINTS
        )

    @property
    def step(self) -> int:
        """Outer steps that the newest checkpoint, saved or restored, has behind it."""
        return int(self._step)

    def save(self, step: int) -> None:
        """Checkpoint after outer step `step`; an interrupted save leaves the previous ones whole.

        Raises:
          UserError: the disk is full or cannot be written.
        """
        with writing(self.path):
            self._metrics.flush()
            os.fsync(self._metrics.fileno())
            self._step.assign(step)
            self._metrics_bytes.assign(self._metrics.tell())
            self._seconds.assign(self.training_seconds)
            for part in Path(self._manager.save(checkpoint_number=step)).parent.iterdir():
                _sync(part)

    def restore(self) -> int:
        """Load the newest readable checkpoint into the learner; returns its outer step.

        A checkpoint that cannot be read is passed over with a warning. Without any checkpoint
        the learner keeps its initial weights and the outer step is 0. Metrics later than the
        checkpoint are cut off.

        Raises:
          UserError: there are checkpoints and none can be read.
        """
        found = _checkpoints(self.path / "checkpoints")
        for prefix in found:
            try:
                self._checkpoint.restore(prefix).assert_consumed()
            except (tf.errors.OpError, IndexError, ValueError, AssertionError) as error:
                reason = str(error).splitlines()[0]
                print(f"Warning: checkpoint {prefix} cannot be read ({reason})", file=sys.stderr)
                continue
            break
        else:
            if found:
                raise UserError(f"{self.path}: none of its checkpoints can be read")
        self.training_seconds = float(self._seconds)
        self._cut_metrics(int(self._metrics_bytes))
        return self.step

    def log(self, step: int, accuracies: Mapping[str, float]) -> None:
        """Append one line of metrics and the same to TensorBoard."""
        with writing(self.path):
            self._metrics.write(json.dumps({"step": step, **accuracies}) + "\n")
            self._metrics.flush()
            self._summarize(step, accuracies)

    def write_results(
        self, evaluation: Mapping[str, Any], correct: Mapping[str, np.ndarray]
    ) -> None:
        """Put `evaluation` into results.json, in place of one with the same settings.

        `correct` holds right answers per episode, int [episodes], kept beside it.
        """
        path = self.path / RESULTS
        with writing(path):
            kept = []
            if path.exists():
                with contextlib.suppress(ValueError, KeyError):
                    kept = json.loads(path.read_text(encoding="utf8"))["evaluations"]
            kept = [other for other in kept if other["settings"] != evaluation["settings"]]
            names = "-".join(str(value) for value in evaluation["settings"].values())
            (self.path / "episodes").mkdir(exist_ok=True)
            episodes = f"episodes/{names}.npz"
            with replacing(self.path / episodes) as temporary:
                np.savez_compressed(temporary, **correct)
            content = {"evaluations": [*kept, {**evaluation, "episodes": episodes}]}
            with replacing(path) as temporary:
                temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf8")

    def _start(self, stored: Stored) -> None:
        content = {
            "config": dataclasses.asdict(stored.config),
            "net": dict(stored.net),
            "data": stored.data,
        }
        # The configuration comes last: with it the directory holds a run.
        for name, value in ((CLASSES, dict(stored.classes)), (CONFIG, content)):
            with replacing(self.path / name) as temporary:
                temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf8")

    def _cut_metrics(self, size: int) -> None:
        """Forget metrics after the first `size` bytes; TensorBoard's files are written anew."""
        with writing(self.path):
            content = (self.path / METRICS).read_bytes()[:size]
            if len(content) < size:
                print(f"Warning: {self.path / METRICS} has lost lines", file=sys.stderr)
                content = content[: content.rfind(b"\n") + 1]
            self._metrics.truncate(len(content))
            shutil.rmtree(self.path / "tensorboard", ignore_errors=True)
            for line in content.decode("utf8").splitlines():
                accuracies = json.loads(line)
                self._summarize(accuracies.pop("step"), accuracies)

    def _summarize(self, step: int, accuracies: Mapping[str, float]) -> None:
        for split, value in accuracies.items():
            if split not in self._writers:
                folder = str(self.path / "tensorboard" / split)
                self._writers[split] = tf.summary.create_file_writer(folder)
            with self._writers[split].as_default():
                tf.summary.write("accuracy", tf.constant(value, tf.float32), step, _SCALAR)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns a refusal to write at `path` (permission, full disk) into one sentence."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(f"{path}: cannot write there ({reason})") from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of `path`, synced to disk, if the block succeeds."""
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Force a file's bytes to the disk, so that losing power cannot take them back."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(path: Path) -> Any:
    """An exclusive lock on the directory, held until the returned file is closed."""
    file = (path / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise UserError(f"{path}: another process is working on this run") from None
    return file


def _remove_run(path: Path) -> None:
    """Delete a run's own files and nothing else that may lie in its directory."""
    for name in OWN:
        target = path / name
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)


def _checkpoints(folder: Path) -> list[str]:
    """Prefixes of the checkpoints in `folder`, newest first, whatever its index file says."""
    steps = sorted((int(p.stem.split("-")[1]) for p in folder.glob("ckpt-*.index")), reverse=True)
    return [str(folder / f"ckpt-{step}") for step in steps]
