"""How a sweep came out: leaderboard (table and CSV), picture, and the winner's command line."""

from __future__ import annotations

import shlex
from typing import Any

from supervised_reptile.analysis.plots import COLORS, save
from supervised_reptile.analysis.study import write_csv
from supervised_reptile.analysis.tables import Table
from supervised_reptile.sweep.space import Sweep
from supervised_reptile.system.atomic_files import writing

STATES = FINISHED, STOPPED, UNFINISHED, FAILED = "finished", "stopped early", "unfinished", "failed"
NOTE = (
    "±: half of the 95% interval over the episodes of one training. The best of many looks a "
    "little better here than it is: these validation classes chose it. Trials that were stopped "
    "early have the mean of the evaluations in the second half of their training."
)


def leaderboard(sweep: Sweep) -> list[dict[str, Any]]:
    """All trials in Ray Tune's state: those that finished, best first, then the others."""
    from ray import tune

    rows = []
    for trial in tune.ExperimentAnalysis(str(sweep.out / "ray")).trials:
        last, config = trial.run_metadata.last_result, sweep.parse(str(trial), trial.config).config
        state = FINISHED if "seconds" in last else STOPPED
        if trial.status != "TERMINATED":
            state = FAILED if trial.status == "ERROR" else UNFINISHED
        if state == FAILED:
            reason = str(trial.get_error()).strip().splitlines()[-1]
            print(f"Trial {trial} failed: {reason} (its output: {config.checkpoint}.log)")
        rows.append({
            "trial": int(str(trial)), "state": state, "accuracy": last.get("accuracy"),
            "half_width": last.get("half_width"), "outer_steps": last.get("outer_steps", 0),
            "outer_steps_planned": config.outer_steps, "training_seconds": last.get("seconds"),
            "run": config.checkpoint,
            **{f"--{name}": trial.config[name] for name in sweep.space.distributions},
        })  # fmt: skip
    return sorted(rows, key=lambda row: (STATES.index(row["state"]), -(row["accuracy"] or 0)))


def show(sweep: Sweep, rows: list[dict[str, Any]]) -> None:
    """Write the CSV and the picture; print the table and what to do next."""
    names = list(sweep.space.distributions)
    csv, figure = sweep.out / "leaderboard.csv", sweep.out / "objective.png"
    write_csv(csv, list(rows[0]), [list(row.values()) for row in rows])
    columns = ("trial", *names, "outer steps", "state", "validation accuracy in %")
    table = Table("Leaderboard", columns, tuple(_shown(row, names) for row in rows), NOTE)
    print(f"\n{table.text()}\n\nAs CSV: {csv}", flush=True)
    finished = [row for row in rows if row["state"] == FINISHED]
    if not finished:
        return
    with writing(figure):
        save(_draw(sweep, rows), figure)
    again, test = _commands(sweep, finished[0])
    print(
        f"Accuracy against each flag: {figure}\n\nThe best trial, as a command line:\n"
        f"  {again}\nIts accuracy on the test classes, which the sweep has not looked at:\n  {test}"
    )


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _shown(row: dict[str, Any], names: list[str]) -> tuple[str, ...]:
    accuracy = "-" if row["accuracy"] is None else f"{100 * row['accuracy']:.2f}"
    interval = "" if row["half_width"] is None else f" ± {100 * row['half_width']:.2f}"
    steps = f"{row['outer_steps']:,} of {row['outer_steps_planned']:,}"
    values = (_short(row[f"--{name}"]) for name in names)
    return (f"{row['trial']:03d}", *values, steps, row["state"], accuracy + interval)


def _commands(sweep: Sweep, best: dict[str, Any]) -> tuple[str, str]:
    """The command line that trains the winner again, and the one that tests it."""
    script, data = sweep.space.command.source.command, sweep.space.data(sweep.data_dir)
    script = script.removesuffix(" DIR") if script.endswith(" DIR") else f"python {script}"
    words = sweep.space.words({name: best[f"--{name}"] for name in sweep.space.distributions})
    modes = [word for word in words if word in ("--transductive", "--both-modes")]
    again = shlex.join([*data, *words, "--checkpoint", f"runs/best-of-{sweep.out.name}"])
    test = ["--checkpoint", best["run"], "--pretrained", *modes, "--eval-splits", "test"]
    return f"{script} {again}", f"{script} {shlex.join([*data, *test])}"


def _draw(sweep: Sweep, rows: list[dict[str, Any]]) -> Any:
    """A panel for each flag that varied: trials that finished with intervals, and those stopped."""
    from matplotlib.figure import Figure  # slow to import

    varied = sweep.space.distributions
    figure = Figure(figsize=(0.9 + 3.4 * len(varied), 3.9), layout="constrained")
    panels = figure.subplots(1, len(varied), squeeze=False, sharey=True)[0]
    for axes, (name, distribution) in zip(panels, varied.items(), strict=True):
        choices = getattr(distribution, "choices", None)
        if choices:
            axes.xaxis.update_units([_short(value) for value in choices])  # in this order
        else:
            axes.set_xscale("log" if distribution.log else "linear")
            axes.update_datalim([(distribution.low, 0), (distribution.high, 0)], updatey=False)
        for state, color, fill in ((STOPPED, "0.55", "none"), (FINISHED, COLORS[0], COLORS[0])):
            found = [row for row in rows if row["state"] == state]
            values = [(_short if choices else float)(row[f"--{name}"]) for row in found]
            heights = [100 * row["accuracy"] for row in found]
            spread = [100 * (row["half_width"] or 0) for row in found]
            kind = {"color": color, "markerfacecolor": fill, "label": state}
            axes.errorbar(values, heights, spread, fmt="o", **kind)
        axes.set_xlabel(f"--{name}")
        axes.tick_params("x", which="both", labelrotation=30)
    panels[0].set_ylabel("validation accuracy in %")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return figure
