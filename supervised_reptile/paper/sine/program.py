"""What `reptile sine` does, from the configuration to the figures."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

import numpy as np

from supervised_reptile.analysis.statistics import loss
from supervised_reptile.analysis.study import STUDY, Figure, Study, write_study
from supervised_reptile.analysis.tables import Table
from supervised_reptile.errors import counted, plural
from supervised_reptile.flags import flags
from supervised_reptile.paper.sine.comparison import NAMES, Judged, judged_others
from supervised_reptile.paper.sine.config import SineConfig
from supervised_reptile.paper.sine.experiment import (
    Experiment,
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
from supervised_reptile.runs.read_run import read_fits
from supervised_reptile.system import machine
from supervised_reptile.system.atomic_files import writing
from supervised_reptile.training.evaluation import evaluation_flags
from supervised_reptile.training.open_run import how_to_go_on
from supervised_reptile.training.request import Request

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
                (run.path / STUDY).unlink(missing_ok=True)  # of other weights than are coming
            train_run(experiment)
        print(f"Evaluating... {evaluation_flags(config)}", flush=True)
        with how_to_go_on(request):
            judged = {config.algorithm: Judged(evaluate_run(experiment), run.training_seconds)}
        print_losses(experiment, judged[config.algorithm].losses)
        if isinstance(run, ReadOnlyRun):
            return
        with writing(run.path):
            draw_training(experiment)
        if config.compare:
            judged |= judged_others(request, experiment)
        named = {NAMES[name]: judged[name].losses for name in NAMES if name in judged}
        named[RANDOM] = experiment.evaluator.fit_new(initial_state(config))
        with writing(run.path):
            draw_losses(named, config.shots, run.path / LOSSES)
        study = study_of(experiment, named, sum(each.seconds for each in judged.values()))
        write_study(run.path, study)
    study.show(run.path)


def print_losses(experiment: Experiment, losses: np.ndarray) -> None:
    """The losses after training, on the plotted wave and those on new ones."""
    step, inner_steps = experiment.run.step, losses.shape[1] - 1
    plotted = experiment.evaluator.monitor(step)["loss"]
    print(f"Loss on the plotted wave after {step} {plural(step, 'outer step')}: {plotted:.4f}")
    steps = plural(inner_steps, "inner step")
    waves = f"{len(losses)} {plural(len(losses), 'new wave')}"
    for when, values in (("before", losses[:, 0]), (f"after {inner_steps}", losses[:, -1])):
        print(f"Loss on {waves} {when} {steps}: {loss(values)}", flush=True)


def draw_training(experiment: Experiment) -> None:
    """The plotted wave's fits before and after meta-training, and after training the way there."""
    config, evaluator, run = experiment.config, experiment.evaluator, experiment.run
    before, after = evaluator.fit_plotted(initial_state(config)), evaluator.fit_plotted()
    titles = (
        "from a random initialization",
        f"after {counted(run.step, 'outer step')} of {name_of(config)}",
    )
    draw_fits(evaluator.plotted, dict(zip(titles, (before, after), strict=True)), run.path / FIT)
    if not config.pretrained:  # else inner steps may be others than those of the logged fits
        fits = read_fits(run.path)
        steps = [0, *(fits["step"] + 1).tolist(), run.step]
        frames = np.concatenate([before[None], fits["predictions"], after[None]])
        draw_animation(evaluator.plotted, steps, frames, run.path / ANIMATION)


def name_of(config: SineConfig) -> str:
    """The algorithm's name in a sentence."""
    return NAMES[config.algorithm]


def study_of(experiment: Experiment, losses: Mapping[str, np.ndarray], seconds: float) -> Study:
    """What `reptile report` shows of the run."""
    config, run = experiment.config, experiment.run
    figures = [
        Figure("One new wave, before and after meta-training", FIT),
        Figure("Loss against gradient steps", LOSSES),
    ]
    return Study(
        name="sine",
        title="Few-shot regression of sine waves",
        text=(
            f"{name_of(config)}, {counted(run.step, 'outer step')}, seed {config.seed}: "
            f"{run.training_seconds:.1f} s of training. Losses are mean squared errors over all "
            f"{counted(config.train_shots, 'point')} of a wave; fitted to {config.shots} of them."
        ),
        commands=(shlex.join(["reptile", "sine", *flags(config)]),),
        seconds=seconds,
        environment=machine.describe(),
        tables=(table(config, losses),),
        figures=tuple(figures),
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
