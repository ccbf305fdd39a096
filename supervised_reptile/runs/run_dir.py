"""RunDir: everything one run leaves behind, in one directory.

    config.json         the configuration, the data's checksum, the network
    classes.json        the names of the classes in each split
    metrics.jsonl       one JSON object a line: accuracies seen during training
    alignment.jsonl     with --log-alignment: how well gradients agreed at the same steps
    fits.jsonl          of sine waves: the plotted task's predictions at these steps
    tensorboard/        the same for TensorBoard
    checkpoints/        the last few checkpoints of weights, optimizer states and outer step
    results.json        accuracies with confidence intervals
    episodes/           right answers per evaluation episode (.npz)

Files are replaced atomically, and logs grow by whole lines. A resumed run continues from the last
checkpoint and cuts the metrics back to it, so it ends in the same bytes as one that was never
interrupted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from supervised_reptile.algorithms.learner import Learner
from supervised_reptile.config import flag_of
from supervised_reptile.errors import UserError, first_line
from supervised_reptile.runs.gradient_alignment import MEASURES, PAIRS
from supervised_reptile.runs.read_run import (
    ALIGNMENT,
    CHECKPOINTS,
    CLASSES,
    CONFIG,
    EPISODES,
    FITS,
    METRICS,
    RESULTS,
    Stored,
    checkpoint_step,
    checkpoints,
    has_checkpoint,
    holds_run,
    read_evaluations,
    warn_of_lost_indices,
)
from supervised_reptile.runs.tensorboard import Events
from supervised_reptile.system import atomic_files
from supervised_reptile.system.atomic_files import (
    CannotWriteError,
    remove_unfinished,
    replacing,
    sync,
    write_json,
)
from supervised_reptile.system.folder_lock import LOCK, lock
from supervised_reptile.system.json_lines import JsonLines

KEPT_CHECKPOINTS = 3
TENSORBOARD = "tensorboard"
LOGS = (METRICS, ALIGNMENT, FITS)
OWN = (
    CONFIG,
    CLASSES,
    *LOGS,
    *(f"{Path(name).stem}.crc" for name in LOGS),  # of older programs
    RESULTS,
    TENSORBOARD,
    CHECKPOINTS,
    EPISODES,
    "learning_curve.png",
    "alignment.png",
    "fit.png",
    "gradient_steps.png",
    "training.gif",
)


# What TensorFlow raises on damaged checkpoints.
BROKEN = (tf.errors.OpError, AssertionError, *atomic_files.UNREADABLE)


def writing(path: Path) -> contextlib.AbstractContextManager[None]:
    """As `atomic_files.writing`, for what TensorFlow writes as well."""
    return atomic_files.writing(path, tf.errors.OpError)


T = TypeVar("T")


def newest_readable(path: Path, read: Callable[[str], T]) -> T | None:
    """What `read` returns for the newest checkpoint of a run that it can read, given its prefix.

    A checkpoint that cannot be read is passed over with a warning. None: there is none at all.

    Raises:
      UserError: there are checkpoints and none can be read.
    """
    found = checkpoints(path)
    warn_of_lost_indices(path)
    for prefix in found:
        try:
            return read(prefix)
        except BROKEN as error:
            reason = re.sub(r"\{\{.*?\}\} | \[Op:\w+\]", "", first_line(error))
            print(f"Warning: checkpoint {prefix} cannot be read ({reason})", file=sys.stderr)
    if found:
        raise UserError(f"{path}: none of its checkpoints can be read; restore one from a copy")
    return None


def is_writable(path: Path) -> bool:
    """Whether this user may write the run in `path` (true where there is none)."""
    parts = (path / name for name in ("", LOCK, *OWN))
    return all(os.access(part, os.W_OK) for part in parts if part.exists())


class RunDir:
    """An open run directory; no second process can open it. A context manager."""

    def __init__(self, path: Path, stored: Stored, overwrite: bool = False) -> None:
        """Open `path`, starting a run there if it holds none or `overwrite` is given.

        Raises:
          UserError: the directory cannot be written, or another process has it open.
        """
        self.path = path
        self.training_seconds = 0.0
        self._lock = lock(path)
        self._flag = flag_of("checkpoint", type(stored.config))
        with writing(path):
            if overwrite:
                _remove_run(path)
            if not holds_run(path):
                if has_checkpoint(path):
                    raise UserError(
                        f"{path} holds checkpoints of a run whose {CONFIG} is gone: give "
                        "--overwrite to start again, or use another directory"
                    )
                self._start(stored)
            (path / METRICS).touch()
        self._metrics, self._alignment, self._fits = (JsonLines(path / name) for name in LOGS)
        self._measure = stored.config.measure
        self._events = Events(path / TENSORBOARD)

    def __enter__(self) -> RunDir:
        return self

    def __exit__(self, *_: object) -> None:
        for log in (self._metrics, self._alignment, self._fits):
            log.close()
        self._events.close()
        self._lock.close()

    def attach(self, learner: Learner) -> None:
        """Make `learner` the owner of the weights that are saved and restored here."""
        self._learner = learner
        self._step = tf.Variable(tf.constant(0, tf.int64))
        self._metrics_bytes = tf.Variable(tf.constant(0, tf.int64))
        self._seconds = tf.Variable(tf.constant(0.0, tf.float64))
        self._checkpoint = tf.train.Checkpoint(
            weights=learner.weights,
            second_moment=learner.second_moment,
            time=learner.time,
            step=self._step,
            metrics_bytes=self._metrics_bytes,
            seconds=self._seconds,
            **learner.outer_variables,
        )
        with writing(self.path):
            self._manager = self._new_manager()

    def _new_manager(self) -> tf.train.CheckpointManager:
        folder = self.path / CHECKPOINTS
        try:
            return tf.train.CheckpointManager(self._checkpoint, str(folder), KEPT_CHECKPOINTS)
        except BROKEN as error:  # its list of checkpoints, which is found without it
            state, reason = folder / "checkpoint", first_line(error)
            print(
                f"Warning: {state} cannot be read ({reason}); it is written again", file=sys.stderr
            )
            state.unlink()
            return tf.train.CheckpointManager(self._checkpoint, str(folder), KEPT_CHECKPOINTS)

    @property
    def step(self) -> int:
        """Outer steps that the newest checkpoint, saved or restored, has behind it."""
        return int(self._step)

    def save(self, step: int) -> None:
        """Checkpoint after outer step `step`; an interrupted save leaves the previous ones whole.

        Raises:
          UserError: the disk is full or cannot be written.
        """
        with self._resumable():
            for log in (self._metrics, self._alignment, self._fits):
                log.sync()
            self._step.assign(step)
            self._metrics_bytes.assign(self._metrics.size)
            self._seconds.assign(self.training_seconds)
            for part in Path(self._manager.save(checkpoint_number=step)).parent.iterdir():
                sync(part)
            self._remove_unneeded()

    def restore(self) -> int:
        """Load the newest readable checkpoint into the learner; returns its outer step.

        A checkpoint that cannot be read is passed over with a warning. Without any checkpoint
        the learner keeps its initial weights and the outer step is 0. Metrics and alignment later
        than the checkpoint are cut off.

        Raises:
          UserError: there are checkpoints and none can be read.
        """
        newest_readable(self.path, lambda p: self._checkpoint.restore(p).assert_consumed())
        self.training_seconds = float(self._seconds)
        with writing(self.path):
            self._events.clear()
            size, step = int(self._metrics_bytes), self.step
            for entry in self._metrics.cut(lambda _, end: end <= size, least=size):
                self._summarize(entry.pop("step"), entry)
            for entry in self._alignment.cut(lambda entry, _: entry["step"] < step):
                self._summarize_alignment(entry.pop("step"), entry)
            self._fits.cut(lambda entry, _: entry["step"] < step)
            self._remove_unneeded()
            remove_unfinished(self.path)
            remove_unfinished(self.path / EPISODES)
        return self.step

    def log(self, step: int, accuracies: Mapping[str, float]) -> None:
        """Append one line of metrics and the same to TensorBoard."""
        with self._resumable():
            self._metrics.append({"step": step, **accuracies})
            self._summarize(step, accuracies)

    def log_alignment(self, step: int, alignment: Mapping[str, float]) -> None:
        """Append one line of `alignment.summary` to its own file, and the same to TensorBoard."""
        with self._resumable():
            self._alignment.append({"step": step, **alignment})
            self._summarize_alignment(step, alignment)

    def log_fit(self, step: int, predictions: np.ndarray) -> None:
        """Append one line of a regression's predictions, float [inner steps shown, points]."""
        with self._resumable():
            rounded = predictions.astype(np.float64).round(4)
            self._fits.append({"step": step, "predictions": rounded.tolist()})

    def write_results(
        self, evaluation: Mapping[str, Any], correct: Mapping[str, np.ndarray]
    ) -> None:
        """Put `evaluation` into results.json, in place of one with the same settings.

        `correct` holds right answers per episode, int [episodes], kept beside it.
        """
        path = self.path / RESULTS
        with self._resumable():
            try:
                kept = read_evaluations(self.path)
            except UserError as error:  # what cannot be read is replaced
                kept = []
                print(f"Warning: {error}; the earlier evaluations are lost", file=sys.stderr)
            kept = [other for other in kept if other["settings"] != evaluation["settings"]]
            names = "-".join(str(value) for value in evaluation["settings"].values())
            (self.path / EPISODES).mkdir(exist_ok=True)
            episodes = f"{EPISODES}/{names}.npz"
            with replacing(self.path / episodes) as temporary:
                arrays: dict[str, Any] = {**correct}  # for stubs that think of `allow_pickle`
                np.savez_compressed(temporary, **arrays)
            write_json(path, {"evaluations": [*kept, {**evaluation, "episodes": episodes}]})

    @contextlib.contextmanager
    def _resumable(self) -> Iterator[None]:
        """As `writing`, and says how the run goes on."""
        try:
            with writing(self.path):
                yield
        except CannotWriteError as error:
            raise UserError(
                f"{error}. Then continue with {self._flag} {self.path} --resume"
            ) from error

    def _remove_unneeded(self) -> None:
        """Delete halves of checkpoints, and old ones, whether TensorFlow has noted them or not.

        Those later than the learner's state could not be read, and will be written anew.
        """
        found = checkpoints(self.path)
        old = [p for p in found if checkpoint_step(p) <= self.step][KEPT_CHECKPOINTS:]
        kept = {Path(prefix).name for prefix in found if prefix not in old}
        for part in (self.path / CHECKPOINTS).glob("ckpt-*"):
            if part.name.partition(".")[0] not in kept:
                _remove(part)

    def _start(self, stored: Stored) -> None:
        content = {
            "kind": stored.config.kind,
            "command": stored.command,
            "config": dataclasses.asdict(stored.config),
            "net": dict(stored.net),
            "data": stored.data,
        }
        # The configuration comes last: with it the directory holds a run.
        for name, value in ((CLASSES, dict(stored.classes)), (CONFIG, content)):
            write_json(self.path / name, value)

    def _summarize(self, step: int, accuracies: Mapping[str, float]) -> None:
        for split, value in accuracies.items():
            self._events.show(split, self._measure, step, value)

    def _summarize_alignment(self, step: int, alignment: Mapping[str, float]) -> None:
        for pair, measure in itertools.product(PAIRS, MEASURES):
            value = alignment[f"{pair}_{measure}"]
            self._events.show(f"{pair}_task", f"gradient {measure}", step, value)


def _remove_run(path: Path) -> None:
    """Delete a run's own files and nothing else that may lie in its directory."""
    for name in OWN:
        _remove(path / name)


def _remove(path: Path) -> None:
    """Delete a file, or a folder with all that is in it, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
