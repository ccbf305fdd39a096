"""How a sweep came out: leaderboard (table, CSV), figure, winning command line, and a study."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence

from supervised_reptile.analysis.plots import save
from supervised_reptile.analysis.study import Figure, Study, write_csv, write_study
from supervised_reptile.analysis.tables import Table
from supervised_reptile.config import MEASURED, Config
from supervised_reptile.errors import counted
from supervised_reptile.flags import flags
from supervised_reptile.runs.read_run import stored_evaluation
from supervised_reptile.sweep.dimensions import described
from supervised_reptile.sweep.figure import draw
from supervised_reptile.sweep.space import Space, data_words, flag_words
from supervised_reptile.sweep.standing import (
    ENDED,
    FINISHED,
    STOPPED,
    Standing,
    shown_accuracy,
    shown_value,
)
from supervised_reptile.sweep.trials import SPLIT, Plan, Trial
from supervised_reptile.system.atomic_files import writing
from supervised_reptile.system.machine import of_evaluations

LEADERBOARD, FIGURE = "leaderboard.csv", "objective.png"
SCRIPTS = {
    "omniglot": "python run_omniglot.py",
    "miniimagenet": "python run_miniimagenet.py",
    "train": "reptile train",
}
NOTE = (
    "±: half of the 95% interval over the episodes of one training. The best of many looks a "
    "little better here than it is: these validation classes chose it."
)
CAPTION = "Each point is a trial; bars are 95% intervals over the episodes of one training."
OF_STOPPED = (
    "Trials that were stopped early have the mean of the evaluations in the second half of their "
    "training."
)
COLUMNS = (
    "trial", "state", "accuracy", "half_width", "outer_steps", "outer_steps_planned",
    "training_seconds", "run",
)  # fmt: skip


def show_board(plan: Plan, standings: Sequence[Standing]) -> None:
    """Write CSV, figure and study into the sweep's folder; print the table and what to do next.

    Columns of the CSV, a line for each trial, best first: COLUMNS, then the flags that vary.
    accuracy and half_width are 0 ... 1 (no half_width where the accuracy is of looks during
    training), outer_steps those behind the accuracy, run is the run directory.
    """
    ranked = sorted(standings, key=lambda standing: standing.place)
    if not ranked:
        return
    names = list(plan.space.dimensions)
    header = (*COLUMNS, *(f"--{name}" for name in names))
    write_csv(plan.out / LEADERBOARD, header, [_line(s, names) for s in ranked])
    table = leaderboard(plan.space, ranked)
    print(f"\n{table.text()}\n\nAs CSV: {plan.out / LEADERBOARD}", flush=True)
    if any(s.status in ENDED and s.accuracy is not None for s in ranked):
        with writing(plan.out / FIGURE):
            save(draw(plan.space, ranked), plan.out / FIGURE)
        print(f"Accuracy against each flag: {plan.out / FIGURE}", flush=True)
    if ranked[0].status == FINISHED:
        again, test = winning(plan, ranked[0].trial)
        print(
            f"\nThe best trial, as a command line:\n  {again}\n"
            f"Its accuracy on the test classes, which the sweep has not looked at:\n  {test}",
            flush=True,
        )
        write_study(plan.out, _study(plan, ranked, table, (again, test)))


def _line(standing: Standing, names: Sequence[str]) -> tuple[object, ...]:
    trial = standing.trial
    return (
        trial.number, standing.status, standing.accuracy, standing.half_width, standing.steps,
        trial.config.outer_steps, standing.seconds, trial.path,
        *(trial.point[name] for name in names),
    )  # fmt: skip


def leaderboard(space: Space, ranked: Sequence[Standing]) -> Table:
    """The trials, best first, for people."""
    names = list(space.dimensions)
    rows = tuple(
        (
            f"{s.trial.number:03d}",
            *(shown_value(s.trial.point[name]) for name in names),
            f"{s.steps:,} of {s.trial.config.outer_steps:,}",
            s.status,
            shown_accuracy(s),
        )
        for s in ranked
    )
    columns = ("trial", *names, "outer steps", "state", "validation accuracy in %")
    return Table("Leaderboard", columns, rows, _with_stopped(NOTE, ranked, "\n"))


def _with_stopped(text: str, ranked: Sequence[Standing], separator: str) -> str:
    """`text`, and what the accuracy of trials that were stopped early is, if there are any."""
    stopped = any(standing.status == STOPPED for standing in ranked)
    return text + f"{separator}{OF_STOPPED}" * stopped


def winning(plan: Plan, trial: Trial) -> tuple[str, str]:
    """The command line that trains the winner again, and the one that tests it."""
    command = plan.space.command
    data = data_words(command, plan.data_dir)
    words = [*data, *plan.space.words(trial.point), "--checkpoint", f"runs/best-of-{plan.out.name}"]
    others = [f.name for f in dataclasses.fields(Config) if f.metadata["role"] != MEASURED]
    modes = flags(dataclasses.replace(trial.config, eval_splits="test"), omit=others)
    # The data may have moved since.
    test = [*data, "--checkpoint", str(trial.path), "--pretrained", *modes]
    script = SCRIPTS[command]
    return f"{script} {shlex.join(words)}", f"{script} {shlex.join(test)}"


def _study(
    plan: Plan, ranked: Sequence[Standing], table: Table, commands: tuple[str, ...]
) -> Study:
    """What `reptile report` shows of a sweep."""
    space = plan.space
    varied = "\n".join(f"- `--{name}`: {described(d)}" for name, d in space.dimensions.items())
    fixed = shlex.join(flag_words(space.command, space.fixed))
    stopping = ", stopped early by ASHA" * bool(space.early_stopping)
    text = (
        f"{counted(len(ranked), 'trial')} of `reptile {space.command}`, chosen by "
        f"{space.method} search{stopping}:\n\n{varied}\n\nAll of them have `{fixed}`."
    )
    if space.training_images:
        text += f" Each trains on {counted(space.training_images, 'image')}: equal cost."
    finished = [s for s in ranked if s.status == FINISHED]
    if len(finished) < len(ranked):
        text += f" The time is that of the {len(finished)} that finished."
    found = [stored_evaluation(s.trial.config, (SPLIT,)) for s in finished]
    return Study(
        "sweep",
        f"Sweep: {plan.out.name}",
        text,
        commands,
        sum(evaluation["training_seconds"] for evaluation in found),
        of_evaluations(found),
        (table,),
        (Figure("Accuracy against each flag", FIGURE, _with_stopped(CAPTION, ranked, " ")),),
    )
