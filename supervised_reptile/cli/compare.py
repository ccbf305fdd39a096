"""`reptile compare RUN...`: a leaderboard. Never imports TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from supervised_reptile.analysis.compare import (
    MODES,
    SPLITS,
    EvaluatedRun,
    Setting,
    SettingFilter,
    hidden_evaluations,
    pairs_of,
    ranked,
    read_runs,
    settings_of,
)
from supervised_reptile.analysis.leaderboard import (
    accuracy_tables,
    leaderboard_csv,
    pairs_table,
    seeds_table,
)
from supervised_reptile.config import COUNT
from supervised_reptile.errors import UserError, counted, first_few, one_line
from supervised_reptile.system.path_type import Place

EPILOG = """\b
Examples:
  reptile compare runs/o55 runs/foml
  reptile compare runs/o55 runs/foml --shots 1 --mode non-transductive
  reptile compare runs/sweep/trials/*/ --split val --csv > sweep.csv
"""


@click.command(
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=Place(path_type=Path))
@click.option(
    "--shots",
    type=COUNT,
    multiple=True,
    help="Show only evaluations with this many shots. May be repeated, like --mode and --split.",
)
@click.option(
    "--mode",
    "modes",
    type=click.Choice([mode.replace("_", "-") for mode in MODES]),
    multiple=True,
    help="Show only evaluations in this mode.",
)
@click.option(
    "--split",
    "splits",
    type=click.Choice(SPLITS),
    multiple=True,
    default=("test",),
    show_default=True,
    help="Show accuracies on these classes. Choose between runs by val; report test.",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print only the accuracies, as CSV.")
def compare(
    runs: tuple[Path, ...],
    shots: tuple[int, ...],
    modes: tuple[str, ...],
    splits: tuple[str, ...],
    as_csv: bool,
) -> None:
    """Rank runs by accuracy and test which differences are significant.

    RUN is a run directory or a folder that contains runs. Damaged runs and other folders are
    skipped with a note.

    The first table lists the flags in which the runs differ and their accuracies, one column for
    each kind of evaluation (shots, mode, classes, episodes). It is sorted by the first of these
    columns. --shots, --mode and --split choose the columns.

    The second table compares runs that were evaluated on the same episodes (same images, classes
    and settings), episode by episode. This paired test detects smaller differences than two
    separate intervals.

    Intervals and tests over episodes are about these trained weights only. To judge the settings,
    train several runs with different --seed: a third table then shows their mean and spread.

    \b
    Columns of --csv, one line for each run and evaluation:
      run                     run directory
      --FLAG                  one column for each flag in which the runs differ
      way, shots, mode, split, episodes, eval_batch, eval_steps, eval_seed
                              settings of the evaluation
      outer_steps             outer steps of the evaluated weights
      accuracy, half_width    accuracy from 0 to 1, half width of its 95% interval
    """
    found = read_runs(runs)
    wanted = SettingFilter(shots, [mode.replace("-", "_") for mode in modes], splits)
    chosen = settings_of(found, wanted)
    _note_others(found, wanted, chosen)
    if as_csv:
        click.echo(leaderboard_csv(found, chosen), nl=False)
        return
    tables = accuracy_tables(found, chosen)
    if chosen:
        order = ranked(found, chosen[0])
        pairs = pairs_of(order, chosen[0])
        tables += [pairs_table(pairs, chosen[0])] if pairs else []
        tables += [table for table in [seeds_table(order, chosen[0])] if table]
    click.echo("\n\n\n".join(table.text() for table in tables))


def _note_others(
    runs: Sequence[EvaluatedRun], wanted: SettingFilter, chosen: Sequence[Setting]
) -> None:
    """Name the runs without an evaluation in the chosen settings, and the flags that show them.

    Raises:
      UserError: no run has an evaluation in the chosen settings.
    """
    evaluated = [run for run in runs if run.results]
    others = [run for run in evaluated if not any(setting in run.results for setting in chosen)]
    if not others:
        return
    known = hidden_evaluations(others, wanted)
    if not chosen:
        asked = " ".join(
            f"{name} {str(value).replace('_', '-')}"
            for name, values in zip(("--shots", "--mode", "--split"), wanted, strict=True)
            for value in values
        )
        raise UserError(f"no accuracy for {asked} in {counted(len(runs), 'run')}: {known}")
    names = first_few([run.name for run in others])
    click.echo(f"Note: evaluated with other settings: {one_line(names)}: {known}", err=True)
