"""The paper's section 6.2: which combinations of inner gradients make an outer step that learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import numpy as np

from supervised_reptile.analysis.plots import COLORS, Label, label_ends, new_figure, save, smoothed
from supervised_reptile.analysis.statistics import accuracy, mean_of, paired
from supervised_reptile.analysis.study import Figure, Study, own_command, write_csv, write_study
from supervised_reptile.analysis.tables import Table
from supervised_reptile.config import Config
from supervised_reptile.errors import counted
from supervised_reptile.flags import command_line
from supervised_reptile.paper.options import (
    UNSHOWN,
    data_option,
    episodes_option,
    fraction_option,
    jobs_option,
    out_option,
)
from supervised_reptile.paper.parallel_runs import final_evaluation, run_parallel, small_run
from supervised_reptile.runs.read_run import read_episodes, read_metrics
from supervised_reptile.system import machine

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PAPER_STEPS = 40_000
EPISODES = 600  # at the end, by default
INTERVAL = 100  # outer steps between evaluations during training
INTERVAL_EPISODES = 3  # in each of these, with eight query sets each
FIGURE = "gradients.png"


class Combination(NamedTuple):
    """An outer update made of the gradients g1 ... gk of k inner steps."""

    label: str
    inner_steps: int
    last_only: bool  # gk alone (FOML), else all of them (Reptile)
    outer_step_size: float  # 0.25 / k makes a mean of a sum

    @property
    def name(self) -> str:
        """As its folder is called."""
        return self.label.replace("(", "").replace(")", "").replace("/", "-of-").replace(" ", "")


COMBINATIONS = (
    Combination("g1", 1, False, 0.25),
    Combination("g1+g2", 2, False, 0.25),
    Combination("1/2 (g1+g2)", 2, False, 0.125),
    Combination("g2", 2, True, 0.25),
    Combination("g1+g2+g3", 3, False, 0.25),
    Combination("1/3 (g1+g2+g3)", 3, False, 0.08325),
    Combination("g3", 3, True, 0.25),
    Combination("g1+...+g4", 4, False, 0.25),
    Combination("1/4 (g1+...+g4)", 4, False, 0.0625),
    Combination("g4", 4, True, 0.25),
)


# (what learns better, than what): the shape of the paper's figure.
CLAIMS = (
    ("g2", "g1+g2"),
    ("g1+g2", "g1"),
    ("g1+g2", "1/2 (g1+g2)"),
    ("g1+g2+g3", "g1+g2"),
    ("g1+...+g4", "g1+g2+g3"),
)


def configuration(combination: Combination, out: Path, **sizes: Any) -> Config:
    """The run of one curve, 5-shot; every inner step has new examples."""
    return small_run(
        out,
        combination.name,
        train_shots=5 * combination.inner_steps,
        inner_steps=combination.inner_steps,
        inner_batch=25,
        algorithm="foml" if combination.last_only else "reptile",
        outer_step_size=combination.outer_step_size,
        eval_interval=INTERVAL,
        look_episodes=INTERVAL_EPISODES,
        **sizes,
    )


class TrainedCombination(NamedTuple):
    """What was measured with one combination."""

    combination: Combination
    config: Config
    steps: np.ndarray  # int [evaluations]
    accuracy: np.ndarray  # float64 [evaluations], on a few episodes of test classes
    correct: np.ndarray  # int [episodes], right answers at the end, the same episodes for all
    evaluation: Mapping[str, Any]  # at the end, as results.json has it

    @property
    def area(self) -> float:
        """Mean accuracy in % over the whole training: what learns faster has more of it."""
        return 100 * float(self.accuracy.mean())


def read_results(config: Config, combination: Combination) -> TrainedCombination:
    """What the finished run of `config` has measured."""
    path, evaluation = Path(config.checkpoint), final_evaluation(config)
    metrics, correct = read_metrics(path), read_episodes(path, evaluation)
    return TrainedCombination(
        combination, config, metrics["step"], metrics["test"], correct["non_transductive_test"],
        evaluation,
    )  # fmt: skip


def draw(path: Path, results: Sequence[TrainedCombination]) -> None:
    """All curves; colours show the number of gradients, lines how they combine.

    Joint training, which does not learn, has a panel of its own: on its scale the others would be
    one line.
    """
    canvas = new_figure(8, 6.5)
    panels = canvas.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    panels[0].set_title(
        "5-way 5-shot Omniglot: outer updates made of the gradients of k inner steps"
    )
    panels[1].set(xlabel="outer step", xlim=(0, max(1, results[0].steps[-1])))
    canvas.supylabel("accuracy on test classes in %", fontsize="medium")
    for axes, single in zip(panels, (False, True), strict=True):
        _draw_panel(axes, [r for r in results if (r.combination.inner_steps == 1) == single])
    save(canvas, path)


def _draw_panel(axes: Axes, results: Sequence[TrainedCombination]) -> None:
    labels = []
    for result in results:
        combination = result.combination
        accuracy = 100 * smoothed(result.accuracy, max(1, len(result.steps) // 40)).mean
        line = ":" if combination.last_only else "--" if "/" in combination.label else "-"
        color = ("#000000", *COLORS)[combination.inner_steps - 1]
        axes.plot(result.steps, accuracy, line, color=color, linewidth=1.6)
        labels.append(Label(combination.label, result.steps[-1], accuracy[-1], color))
    axes.set_ylim(axes.get_ylim())
    axes.grid(alpha=0.3)
    label_ends(axes, labels)


def study_of(results: Sequence[TrainedCombination]) -> Study:
    """The tables, and how they were made."""
    first = results[0].config
    steps = counted(first.outer_steps, "outer step")
    own = own_command(
        "gradients",
        ("--fraction", f"{first.outer_steps / PAPER_STEPS:g}", "1"),
        ("--eval-samples", first.eval_episodes, EPISODES),
    )
    short = first.outer_steps != PAPER_STEPS
    return Study(
        name="gradients",
        title="Combinations of inner gradients",
        text=(
            f"5-way 5-shot Omniglot, inner SGD, {steps} of one "
            "task, seed 0. Every inner step has a batch of examples of its own; the outer update "
            "is made of all their gradients or of the last one. Curves: running mean over "
            f"{INTERVAL_EPISODES} episodes of test classes with eight query sets every {INTERVAL} "
            "outer steps, non-transductive. g1 is joint training."
        ),
        commands=(own, *(command_line("run_omniglot.py", r.config, UNSHOWN) for r in results)),
        seconds=sum(result.evaluation["training_seconds"] for result in results),
        environment=machine.of_evaluations(result.evaluation for result in results),
        tables=(accuracies(results), claims(results)),
        figures=(Figure("Accuracy during training", FIGURE),),
        caveat=f"{steps} instead of the paper's {PAPER_STEPS:,}" if short else "",
    )


def accuracies(results: Sequence[TrainedCombination]) -> Table:
    """How well each combination learnt."""
    rows = []
    for result in results:
        final = accuracy(result.correct, result.config.way)
        shown = f"{100 * final.mean:.2f} ± {100 * (final.half_width or 0):.2f}"
        rows.append((result.combination.label, shown, f"{result.area:.2f}"))
    columns = ("outer update", "at the end, in %", "mean over the whole training, in %")
    episodes = len(results[0].correct)
    note = f"± is the half width of the 95% confidence interval over {episodes:,} episodes."
    return Table("Accuracy on test classes, non-transductive", columns, tuple(rows), note)


def claims(results: Sequence[TrainedCombination]) -> Table:
    """The expected shape, claim by claim: over the whole training, and at its end."""
    by_label = {result.combination.label: result for result in results}
    rows = []
    for better, worse in CLAIMS:
        first, second = by_label[better], by_label[worse]
        over_training = mean_of(first.accuracy - second.accuracy)
        at_end = paired(first.correct, second.correct, first.config.way)
        cells = (*_verdict(*over_training), *_verdict(at_end.difference, at_end.half_width))
        rows.append((f"{better} learns better than {worse}", *cells))
    columns = ("the paper", "difference over the training, in points", "verdict",
               "difference at the end, in points", "verdict")  # fmt: skip
    note = (
        "± is the half width of the 95% interval of the mean difference over episodes, the same "
        "ones for both. One training run each: how much other seeds differ is not in it."
    )
    return Table("The expected shape", columns, tuple(rows), note)


def _verdict(difference: float, half_width: float | None) -> tuple[str, str]:
    """A difference of accuracies in points with its interval, and whether that excludes 0."""
    shown = f"{round(100 * difference, 2) + 0.0:+.2f} ± {100 * (half_width or 0):.2f}"
    if half_width is None or abs(difference) <= half_width:
        return shown, "undecided"
    return shown, "holds" if difference > 0 else "reversed"


@click.command()
@out_option
@data_option("--data-dir", "data/omniglot", "Omniglot")
@fraction_option
@episodes_option(EPISODES)
@jobs_option
def gradients(out: Path, data_dir: str, fraction: float, eval_samples: int, jobs: int) -> None:
    """Section 6.2: compare ten outer updates made of inner gradients, in one plot.

    Several runs train at the same time. After an interruption, the same command continues.
    """
    outer_steps = max(1, round(PAPER_STEPS * fraction))
    sizes = {"data_dir": data_dir, "outer_steps": outer_steps, "eval_episodes": eval_samples}
    configs = [configuration(combination, out, **sizes) for combination in COMBINATIONS]
    run_parallel(configs, jobs)
    results = list(map(read_results, configs, COMBINATIONS))
    points = [
        (r.combination.label, *p) for r in results for p in zip(r.steps, r.accuracy, strict=True)
    ]
    write_csv(out / "gradients.csv", ("combination", "outer step", "accuracy"), points)
    draw(out / FIGURE, results)
    study = study_of(results)
    write_study(out, study)
    study.show(out)
