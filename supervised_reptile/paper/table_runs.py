"""Training runs of the paper's tables 1 and 2: one run, four accuracies.

1-shot and 5-shot, transductive or not, share their training: it never reads --shots when
--train-shots is set.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

from supervised_reptile.config import (
    DATA,
    PRESETS,
    TRAINING,
    Config,
    differing_flags,
    fields_of,
)
from supervised_reptile.errors import UserError
from supervised_reptile.paper.published import SHOTS
from supervised_reptile.runs.read_run import holds_run, read_stored, stored_evaluation
from supervised_reptile.system.start_tensorflow import start_tensorflow
from supervised_reptile.training.sources import MINIIMAGENET, OMNIGLOT, Source

SPLITS = ("test",)


class Experiment(NamedTuple):
    """A row of the tables."""

    title: str
    source: Source
    script: str
    data_dir: str  # where the data are by default
    eval_batch: dict[int, int]  # shots -> examples in an inner batch of evaluation


EXPERIMENTS = {
    "omniglot-5way": Experiment(
        "Omniglot, 5-way", OMNIGLOT, "run_omniglot.py", "data/omniglot", {1: 5, 5: 5}
    ),
    "omniglot-20way": Experiment(
        "Omniglot, 20-way", OMNIGLOT, "run_omniglot.py", "data/omniglot", {1: 10, 5: 10}
    ),
    "miniimagenet-5way": Experiment(
        "Mini-ImageNet, 5-way",
        MINIIMAGENET,
        "run_miniimagenet.py",
        "data/miniimagenet",
        {1: 5, 5: 15},
    ),
}


class Plan(NamedTuple):
    """What was asked for."""

    experiment: str  # a key of EXPERIMENTS
    out: Path
    data_dir: str
    seeds: int
    fraction: float  # of the paper's outer steps
    episodes: int
    threads: int


def configuration(plan: Plan, seed: int) -> Config:
    """The training run of one seed, with the evaluation of its 5-shot cells."""
    preset = PRESETS[plan.experiment]
    return Config(
        **{**preset, "outer_steps": max(1, round(plan.fraction * preset["outer_steps"]))},
        seed=seed,
        checkpoint=str(plan.out / f"seed-{seed}"),
        data_dir=plan.data_dir,
        eval_episodes=plan.episodes,
        transductive=True,
        both_modes=True,
        threads=plan.threads,
    )


def evaluations(plan: Plan, config: Config) -> list[Config]:
    """What to evaluate after training: a configuration for each number of shots."""
    batches = EXPERIMENTS[plan.experiment].eval_batch
    return [dataclasses.replace(config, shots=s, eval_batch=batches[s]) for s in SHOTS]


def run_seed(plan: Plan, config: Config) -> None:
    """Train and evaluate what is not yet stored.

    Raises:
      UserError: anything the user can mend; a run of other settings in the folder, for example.
      Interrupted: a signal came; the same command continues.
    """
    missing = [e for e in evaluations(plan, config) if not stored_evaluation(e, SPLITS)]
    if not missing:
        return
    _check_settings(config)
    start_tensorflow(config.threads)
    from supervised_reptile.training.experiment import open_experiment
    from supervised_reptile.training.request import Request

    # How it was to be evaluated decides nothing: every evaluation has its own configuration.
    request = Request(
        config,
        frozenset(fields_of(TRAINING, DATA)),
        EXPERIMENTS[plan.experiment].source,
        resume=holds_run(Path(config.checkpoint)),
    )
    with open_experiment(request) as experiment:
        if experiment.run.step < config.outer_steps:
            experiment.train()
        for evaluation in missing:
            experiment.evaluate(evaluation, SPLITS)


def _check_settings(config: Config) -> None:
    """Refuse to continue a run that was started otherwise, of another --fraction for example."""
    path = Path(config.checkpoint)
    if not holds_run(path):
        return
    stored = read_stored(path).config
    if differing := differing_flags(stored, config, fields_of(TRAINING), (TRAINING,)):
        raise UserError(
            f"{path} holds a run with other settings ({'; '.join(differing)}): give another --out, "
            "or the --fraction of then"
        )
