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

Files are replaced atomically. A resumed run continues from the last checkpoint and cuts
the metrics back to it, so it ends in the same bytes as one that was never interrupted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from supervised_reptile import files
from supervised_reptile.alignment import MEASURES, PAIRS
from supervised_reptile.errors import UserError
from supervised_reptile.events import Events
from supervised_reptile.files import replacing, sync
from supervised_reptile.learner import Learner
from supervised_reptile.run_files import (
    ALIGNMENT,
    CHECKPOINTS,
    CLASSES,
    CONFIG,
    EPISODES,
    FITS,
    METRICS,
    RESULTS,
    Stored,
    checkpoints,
    has_checkpoint,
    holds_run,
    lock,
    read_evaluations,
)
from supervised_reptile.side_log import SideLog

KEPT_CHECKPOINTS = 3
TENSORBOARD = "tensorboard"
OWN = (
    CONFIG,
    CLASSES,
    METRICS,
    ALIGNMENT,
    FITS,
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


def writing(path: Path) -> contextlib.AbstractContextManager[None]:
    """As `files.writing`, for what TensorFlow writes as well."""
    return files.writing(path, tf.errors.OpError)


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
            self._lock = lock(path)
            if overwrite:
                _remove_run(path)
            if not holds_run(path):
                if has_checkpoint(path):
                    raise UserError(
                        f"{path} holds checkpoints of a run whose {CONFIG} is gone: give "
                        "--overwrite to start anew, or use another directory"
                    )
                self._start(stored)
            self._metrics = (path / METRICS).open("a", encoding="utf8")
        self._alignment, self._fits = SideLog(path / ALIGNMENT), SideLog(path / FITS)
        self._measure = stored.config.measure
        self._events = Events(path / TENSORBOARD)

    def __enter__(self) -> RunDir:
        return self

    def __exit__(self, *_: object) -> None:
        # Whatever could not be written was reported when it was first tried.
        with contextlib.suppress(OSError):
            self._metrics.close()
        self._alignment.close()
        self._fits.close()
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
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, str(self.path / CHECKPOINTS), KEPT_CHECKPOINTS
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
            self._alignment.sync()
            self._fits.sync()
            self._step.assign(step)
            self._metrics_bytes.assign(self._metrics.tell())
            self._seconds.assign(self.training_seconds)
            for part in Path(self._manager.save(checkpoint_number=step)).parent.iterdir():
                sync(part)

    def restore(self) -> int:
        """Load the newest readable checkpoint into the learner; returns its outer step.

        A checkpoint that cannot be read is passed over with a warning. Without any checkpoint
        the learner keeps its initial weights and the outer step is 0. Metrics and alignment later
        than the checkpoint are cut off.

        Raises:
          UserError: there are checkpoints and none can be read.
        """
        found = checkpoints(self.path)
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
        with writing(self.path):
            self._events.clear()
            self._cut_metrics(int(self._metrics_bytes))
            for entry in self._alignment.cut(self.step):
                self._summarize_alignment(entry.pop("step"), entry)
            self._fits.cut(self.step)
        return self.step

    def log(self, step: int, accuracies: Mapping[str, float]) -> None:
        """Append one line of metrics and the same to TensorBoard."""
        with writing(self.path):
            self._metrics.write(json.dumps({"step": step, **accuracies}) + "\n")
            self._metrics.flush()
            self._summarize(step, accuracies)

    def log_alignment(self, step: int, alignment: Mapping[str, float]) -> None:
        """Append one line of `alignment.summary` to its own file, and the same to TensorBoard."""
        with writing(self.path):
            self._alignment.append({"step": step, **alignment})
            self._summarize_alignment(step, alignment)

    def log_fit(self, step: int, predictions: np.ndarray) -> None:
        """Append one line of a regression's predictions, float [inner steps shown, points]."""
        with writing(self.path):
            rounded = predictions.astype(np.float64).round(4)
            self._fits.append({"step": step, "predictions": rounded.tolist()})

    def write_results(
        self, evaluation: Mapping[str, Any], correct: Mapping[str, np.ndarray]
    ) -> None:
        """Put `evaluation` into results.json, in place of one with the same settings.

        `correct` holds right answers per episode, int [episodes], kept beside it.
        """
        path = self.path / RESULTS
        with writing(path):
            kept: list[dict[str, Any]] = []
            with contextlib.suppress(UserError):  # what cannot be read is replaced
                kept = read_evaluations(self.path)
            kept = [other for other in kept if other["settings"] != evaluation["settings"]]
            names = "-".join(str(value) for value in evaluation["settings"].values())
            (self.path / EPISODES).mkdir(exist_ok=True)
            episodes = f"{EPISODES}/{names}.npz"
            with replacing(self.path / episodes) as temporary:
                arrays: dict[str, Any] = {**correct}  # for stubs that think of `allow_pickle`
                np.savez_compressed(temporary, **arrays)
            content = {"evaluations": [*kept, {**evaluation, "episodes": episodes}]}
            with replacing(path) as temporary:
                temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf8")

    def _start(self, stored: Stored) -> None:
        content = {
            "kind": stored.config.kind,
            "config": dataclasses.asdict(stored.config),
            "net": dict(stored.net),
            "data": stored.data,
        }
        # The configuration comes last: with it the directory holds a run.
        for name, value in ((CLASSES, dict(stored.classes)), (CONFIG, content)):
            with replacing(self.path / name) as temporary:
                temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf8")

    def _cut_metrics(self, size: int) -> None:
        """Forget metrics after the first `size` bytes; the rest is told to TensorBoard anew."""
        content = (self.path / METRICS).read_bytes()[:size]
        if len(content) < size:
            print(f"Warning: {self.path / METRICS} has lost lines", file=sys.stderr)
            content = content[: content.rfind(b"\n") + 1]
        self._metrics.truncate(len(content))
        for line in content.decode("utf8").splitlines():
            accuracies = json.loads(line)
            self._summarize(accuracies.pop("step"), accuracies)

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
        target = path / name
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
