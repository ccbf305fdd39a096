"""The algorithms side by side, each trained on the same waves in a run directory of its own."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from supervised_reptile.config import ALGORITHMS, RESUMED, TAILED, fields_of
from supervised_reptile.errors import Interrupted
from supervised_reptile.paper.sine.config import SineConfig
from supervised_reptile.paper.sine.experiment import Experiment, evaluate_run, opened, train_run
from supervised_reptile.runs.read_run import has_checkpoint, holds_run
from supervised_reptile.training.request import Request

NAMES = {"reptile": "Reptile", "foml": "FOML", "maml": "MAML", "joint": "joint training"}
FOLDER = "compare"  # in the run directory; its folders are called as the algorithms


class Judged(NamedTuple):
    """What an algorithm's run came to."""

    losses: np.ndarray  # float64 [waves, inner steps + 1], on new waves
    seconds: float  # of training, over all sessions


def judged_others(request: Request, main: Experiment) -> dict[str, Judged]:
    """The runs of all algorithms but the run's own.

    What is not trained yet is trained first, unless the run was only to be evaluated.

    Raises:
      Interrupted: a signal stopped training, after a checkpoint.
    """
    found = {}
    for algorithm in ALGORITHMS:
        config = other_config(main.config, algorithm)
        if algorithm == main.config.algorithm or config is None:
            continue
        path = Path(config.checkpoint)
        if config.pretrained and not has_checkpoint(path):
            continue
        decisive = frozenset(fields_of(*RESUMED, kind=type(config)))
        overwrite = request.overwrite
        resume = holds_run(path) and not (overwrite or config.pretrained)
        print(f"{NAMES[algorithm]} for comparison, in {path}", flush=True)
        asked = Request(config, decisive, request.source, resume, overwrite)
        with opened(asked, main.evaluator.fitter) as other:
            if not config.pretrained:
                _train(other, main.run.path)
            found[algorithm] = Judged(evaluate_run(other), other.run.training_seconds)
    return found


def other_config(config: SineConfig, algorithm: str) -> SineConfig | None:
    """The run of `config` with another algorithm; None where it cannot be.

    Everything else stays as it is, but for joint training, whose only inner step is on one batch of
    each wave.
    """
    if algorithm == "maml" and not config.sgd:
        return None
    changes: dict[str, Any] = {}
    if algorithm == "joint":
        changes["inner_steps"] = 1
    elif config.algorithm == "joint":
        changes["inner_steps"] = SineConfig.inner_steps
    if algorithm not in TAILED:
        changes["tail_shots"] = None
    checkpoint = str(Path(config.checkpoint) / FOLDER / algorithm)
    return dataclasses.replace(
        config, algorithm=algorithm, checkpoint=checkpoint, compare=False, **changes
    )


def _train(other: Experiment, main: Path) -> None:
    """Train, and if that is interrupted say how the whole continues."""
    try:
        train_run(other, quiet=True)
    except Interrupted as stop:
        raise Interrupted(
            f"Interrupted; saved. Continue with --out {main} --resume", stop.signal_number
        ) from stop
