"""What `reptile sine` does, from the configuration to the figures."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from supervised_reptile.analysis.statistics import loss
from supervised_reptile.analysis.study import STUDY, Figure, Study, write_study
from supervised_reptile.analysis.tables import Table
from supervised_reptile.config import ALGORITHMS, RESUMED, TAILED, fields_of
from supervised_reptile.errors import Interrupted, counted, plural
from supervised_reptile.flags import flags
from supervised_reptile.paper.options import ALGORITHM_NAMES
from supervised_reptile.paper.sine.config import SineConfig
from supervised_reptile.paper.sine.experiment import (
    SineExperiment,
    evaluate_run,
    initial_state,
    opened,
    train_run,
)
from supervised_reptile.paper.sine.figures import (
    ANIMATION,
    FIT,
    LOSSES,
    draw_animation,
    draw_fits,
    draw_losses,
)
from supervised_reptile.runs.read_only_run import ReadOnlyRun
from supervised_reptile.runs.read_run import has_checkpoint, holds_run, read_fits
from supervised_reptile.system import machine
from supervised_reptile.system.atomic_files import writing
from supervised_reptile.training.evaluation import evaluation_flags
from supervised_reptile.training.open_run import how_to_go_on
from supervised_reptile.training.request import Request

FOLDER = "compare"  # in the run directory; its folders are called as the algorithms
RANDOM = "random initialization"


def run_experiment(request: Request) -> None:
    """Train, unless asked only to evaluate; print and store losses; draw.

    Raises:
      UserError: anything the user can mend; nothing was written or lost then.
      Interrupted: a signal stopped training, after a checkpoint.
    """
    with opened(request) as experiment:
        config, run = experiment.config, experiment.run
        if not config.pretrained:
            with writing(run.path):
                (run.path / STUDY).unlink(missing_ok=True)  # it is about other weights
            train_run(experiment)
        print(f"Evaluating... {evaluation_flags(config)}", flush=True)
        with how_to_go_on(request):
            losses = {config.algorithm: evaluate_run(experiment)}
        print_losses(experiment, losses[config.algorithm])
        if isinstance(run, ReadOnlyRun):
            return
        with writing(run.path):
            draw_training(experiment)
        seconds = run.training_seconds
        if config.compare:
            for algorithm, values, took in other_algorithms(request, experiment):
                losses[algorithm] = values
                seconds += took
        named = {name: losses[key] for key, name in ALGORITHM_NAMES.items() if key in losses}
        named[RANDOM] = experiment.evaluator.losses_on_new(initial_state(config))
        with writing(run.path):
            draw_losses(named, config.shots, run.path / LOSSES)
        study = study_of(experiment, named, seconds)
        write_study(run.path, study)
    study.show(run.path)


def print_losses(experiment: SineExperiment, losses: np.ndarray) -> None:
    """The losses after training, on the plotted wave and those on new ones."""
    step, inner_steps = experiment.run.step, losses.shape[1] - 1
    plotted = experiment.evaluator.monitor(step)["loss"]
    print(f"Loss on the plotted wave after {step} {plural(step, 'outer step')}: {plotted:.4f}")
    steps = plural(inner_steps, "inner step")
    waves = f"{len(losses)} {plural(len(losses), 'new wave')}"
    for when, values in (("before", losses[:, 0]), (f"after {inner_steps}", losses[:, -1])):
        print(f"Loss on {waves} {when} {steps}: {loss(values)}", flush=True)


def draw_training(experiment: SineExperiment) -> None:
    """The plotted wave's fits before and after meta-training, and an animation of the training."""
    config, evaluator, run = experiment.config, experiment.evaluator, experiment.run
    before, after = evaluator.fit_plotted(initial_state(config)), evaluator.fit_plotted()
    titles = (
        "from a random initialization",
        f"after {counted(run.step, 'outer step')} of {ALGORITHM_NAMES[config.algorithm]}",
    )
    draw_fits(evaluator.plotted, dict(zip(titles, (before, after), strict=True)), run.path / FIT)
    if not config.pretrained:  # it may have other inner steps than the logged fits
        fits = read_fits(run.path)
        steps = [0, *(fits["step"] + 1).tolist(), run.step]
        frames = np.concatenate([before[None], fits["predictions"], after[None]])
        draw_animation(evaluator.plotted, steps, frames, run.path / ANIMATION)


def study_of(experiment: SineExperiment, losses: Mapping[str, np.ndarray], seconds: float) -> Study:
    """What `reptile report` shows of the run."""
    config, run = experiment.config, experiment.run
    return Study(
        name="sine",
        title="Few-shot regression of sine waves",
        text=(
            f"{ALGORITHM_NAMES[config.algorithm]}, {counted(run.step, 'outer step')}, "
            f"seed {config.seed}: {run.training_seconds:.1f} s of training. Losses are mean "
            f"squared errors over all {counted(config.train_shots, 'point')} of a wave; fitted to "
            f"{config.shots} of them."
        ),
        commands=(shlex.join(["reptile", "sine", *flags(config)]),),
        seconds=seconds,
        environment=machine.describe(),
        tables=(table(config, losses),),
        figures=(
            Figure("One new wave, before and after meta-training", FIT),
            Figure("Loss against gradient steps", LOSSES),
        ),
    )


def table(config: SineConfig, losses: Mapping[str, np.ndarray]) -> Table:
    """Losses before and after inner steps from each initialization."""
    columns = (
        "initialization", "before", "1 step", f"{counted(config.eval_steps, 'step')}, mean",
        "95% interval", "median", "95% interval",
    )  # fmt: skip
    rows = []
    for name, values in losses.items():
        after = loss(values[:, -1])
        spread = "?" if after.half_width is None else f"± {after.half_width:.4f}"
        numbers = (f"{values[:, step].mean():.3f}" for step in (0, 1))
        rows.append(
            (name, *numbers, f"{after.mean:.4f}", spread, f"{after.median:.4f}",
             after.median_spread)
        )  # fmt: skip
    return Table(f"Loss on {counted(config.eval_episodes, 'new wave')}", columns, tuple(rows), "")


# ---- the other algorithms, each on the same waves in a run directory of its own


def other_algorithms(
    request: Request, main: SineExperiment
) -> Iterator[tuple[str, np.ndarray, float]]:
    """Train, unless that is done or only evaluation was asked for, and evaluate.

    Yields the algorithm, losses on new waves, float64 [waves, inner steps + 1], and the seconds of
    training over all sessions.

    Raises:
      Interrupted: a signal stopped training, after a checkpoint.
    """
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
        print(f"{ALGORITHM_NAMES[algorithm]} for comparison, in {path}", flush=True)
        own = Request(config, decisive, request.source, resume, overwrite)
        with opened(own, main.evaluator.adaptation) as other:
            if not config.pretrained:
                try:
                    train_run(other, quiet=True)
                except Interrupted as stop:
                    raise Interrupted(
                        f"Interrupted; saved. Continue with --out {main.run.path} --resume",
                        stop.signal_number,
                    ) from stop
            yield algorithm, evaluate_run(other), other.run.training_seconds


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
