"""The Python face: whatever the command lines do is a call.

    import supervised_reptile as sr

    config = sr.preset("omniglot-5way", outer_steps=10_000)
    run = sr.train(config, data="data/omniglot", out="runs/o55")
    run.evaluate(shots=1, transductive=True)["test"].mean
    clf = run.classifier()

Importing this imports no TensorFlow; the first call does.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from supervised_reptile.config import (
    EVALUATION,
    IN_CHECKPOINT,
    MEASURED,
    PRESETS,
    Config,
    fields_of,
    names_weights,
)
from supervised_reptile.distributed.placement import Placement
from supervised_reptile.distributed.tf_config import (
    VARIABLE,
    join_workers,
    lost_worker_named,
    read_rank,
)
from supervised_reptile.errors import SettingsError
from supervised_reptile.runs.read_run import read_stored
from supervised_reptile.system.start_tensorflow import start_tensorflow
from supervised_reptile.training.request import Callback, Request, resolve
from supervised_reptile.training.sources import Source, source_of

if TYPE_CHECKING:
    from supervised_reptile.analysis.statistics import Accuracy
    from supervised_reptile.data.dataset import Dataset
    from supervised_reptile.inference.few_shot_classifier import FewShotClassifier


def preset(name: str, **fields: Any) -> Config:
    """The paper's settings: "omniglot-5way", "omniglot-20way" or "miniimagenet-5way".

    `fields` of Config have other values than the paper's.

    Raises:
      ValueError: there is no such preset, or two settings contradict each other.
      TypeError: Config has no such field.
    """
    if name not in PRESETS:
        raise ValueError(f"there is no preset {name!r}: choose from {', '.join(PRESETS)}")
    return Config(**{**PRESETS[name], **fields})


def train(
    config: Config,
    data: Dataset | str | Path,
    out: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    callbacks: Iterable[Callback] = (),
    workers: int = 1,
    ray_address: str | None = None,
    worker_cpus: int = 0,
    worker_gpus: int = 0,
    max_failures: int = 3,
) -> Run:
    """Train and evaluate, as the command lines do, with a progress bar; returns the run.

    Args:
      data: a folder or archive of Omniglot, Mini-ImageNet or class folders, or a `Dataset`.
      out: the run directory.
      resume: continue the run in `out`; else `out` must hold none, unless `overwrite`.
      callbacks: called as callback(outer step, accuracy by split) after each evaluation during
        training; what they raise ends the training.
      workers: processes that share every meta-batch, started by Ray on this machine, or on the
        cluster at `ray_address` ("auto": the one that this machine belongs to).
      worker_cpus: CPUs of each worker; 0: an equal share of this machine's, on a cluster 1.
      worker_gpus: GPUs of each worker.
      max_failures: how often workers that die are started again.

    Raises:
      ValueError: two settings contradict each other.
      UserError: the data cannot be read or do not fit the settings, or `out` holds another run.
      Interrupted: a signal stopped training, after a checkpoint.
    """
    source = source_of(data)
    data_dir = str(data) if isinstance(data, str | Path) else config.data_dir
    config = dataclasses.replace(config, data_dir=data_dir, checkpoint=str(out), pretrained=None)
    explicit = frozenset(field.name for field in dataclasses.fields(config))
    request = Request(config, explicit, source, resume, overwrite, tuple(callbacks))
    execute(request, Placement(workers, ray_address, worker_cpus, worker_gpus, max_failures))
    return Run(Path(out), source)


def load_run(path: str | Path, data: Dataset | str | Path | None = None) -> Run:
    """The run in a directory, trained by whatever program; `data` where they are not as then.

    Raises:
      UserError: the directory holds no run, or its data are gone and none are given.
    """
    stored = read_stored(Path(path))
    return Run(Path(path), source_of(stored.config.data_dir if data is None else data), data)


class Run:
    """A run directory with a trained initialization."""

    def __init__(
        self, path: Path, source: Source, data: Dataset | str | Path | None = None
    ) -> None:
        self.path = path
        self._source = source
        self._data_dir = str(data) if isinstance(data, str | Path) else None

    @property
    def config(self) -> Config:
        """What the run was trained with."""
        return read_stored(self.path).config

    def evaluate(
        self, splits: str = "all", *, transductive: bool = False, **sizes: Any
    ) -> dict[str, Accuracy]:
        """Accuracies by split, with 95% confidence intervals; also printed and stored.

        Args:
          splits: "train", "val", "test" or "all" of those that the data have.
          transductive: classify all queries of an episode in one forward pass.
          sizes: shots, eval_batch, eval_steps, eval_episodes or eval_seed, where they are to be
            others than the run's.

        Raises:
          TypeError: another argument is given.
          UserError: as `train`.
        """
        if unknown := sorted(sizes.keys() - set(fields_of(EVALUATION))):
            raise TypeError(f"{unknown[0]} is no size of an evaluation: {fields_of(EVALUATION)}")
        given = {"eval_splits": splits, "transductive": transductive, "both_modes": False, **sizes}
        assert set(fields_of(MEASURED)) <= given.keys()
        config = dataclasses.replace(
            self.config, checkpoint=str(self.path), pretrained=IN_CHECKPOINT, **given
        )
        explicit = {*given, "checkpoint", "pretrained"}
        if self._data_dir:
            config = dataclasses.replace(config, data_dir=self._data_dir)
            explicit.add("data_dir")
        (accuracies,) = execute(Request(config, frozenset(explicit), self._source)).values()
        return accuracies

    def classifier(self, **parameters: Any) -> FewShotClassifier:
        """A FewShotClassifier that starts from this run's weights, with its `parameters`."""
        from supervised_reptile.inference.few_shot_classifier import FewShotClassifier

        return FewShotClassifier.load(self.path, **parameters)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"


def execute(request: Request, placement: Placement | None = None) -> Any:
    """Import TensorFlow and run, on several workers if asked to; what the program returns.

    placement: of workers that Ray starts. Else, where TF_CONFIG lists workers, this process is
    one of them.

    Raises:
      SettingsError: several workers cannot share what is asked for.
      UserError, Interrupted: as the program.
    """
    if placement and placement.workers > 1:
        _check_shareable(request, "--workers")
        from supervised_reptile.distributed.ray_train import run_on_ray

        return run_on_ray(request, placement)
    if read_rank()[1] > 1:
        _check_shareable(request, VARIABLE)
        workers = join_workers(request.config.threads)
        with lost_worker_named():
            return _program(request).run_experiment(request, workers)
    request = resolve(request)  # refuses before TensorFlow is imported
    start_tensorflow(request.config.threads)
    return _program(request).run_experiment(request)


def _program(request: Request) -> ModuleType:
    return importlib.import_module(request.source.program)  # which imports TensorFlow


def _check_shareable(request: Request, asked_by: str) -> None:
    if names_weights(request.config) or request.source.config is not Config:
        raise SettingsError(f"only training on images can use several workers: without {asked_by}")
    if request.config.task_order == "sequential" and not request.config.pretrained:
        raise SettingsError(
            "--task-order sequential adapts to one task after the other, which several workers "
            "cannot share: leave it out, or train in one process"
        )
