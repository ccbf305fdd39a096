"""Tables of compared runs: accuracies, paired tests, seeds; and the same accuracies as CSV."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Sequence

from supervised_reptile.analysis.compare import (
    EvaluatedRun,
    Pair,
    Setting,
    differing_values,
    ranked,
    training_values,
)
from supervised_reptile.analysis.statistics import Spread, holm, over_seeds
from supervised_reptile.analysis.tables import Table
from supervised_reptile.config import flag_of
from supervised_reptile.errors import counted

MAX_WIDTH = 140  # characters of a table in a terminal
NOTE_ONE_TRAINING = (
    "±: half of the 95% interval over the episodes of one training; "
    "how much another --seed would change is not in it."
)
NOTE_OTHER_IMAGES = (
    "These runs use different images: compare accuracies only between runs on the same images."
)
NOTE_PAIRS = (
    "The first minus the second in percentage points, ± half of its 95% interval. "
    "p: two-sided paired t-test over the episodes"
)
NOTE_SEEDS = (
    "Mean over seeds, the standard deviation from seed to seed, and half of the mean's 95% "
    "interval (Student's t). Where --seed also splits the classes, the spread includes it."
)


def accuracy_tables(runs: Sequence[EvaluatedRun], settings: Sequence[Setting]) -> list[Table]:
    """The leaderboard; if it is too wide for a screen, the flags get their own table."""
    whole = leaderboard(runs, settings)
    if not differing_values(runs) or max(map(len, whole.text().splitlines())) <= MAX_WIDTH:
        return [whole]
    runs = ranked(runs, settings[0]) if settings else runs
    flags = differing_values(runs)
    rows = zip((run.name for run in runs), *flags.values(), strict=True)
    return [
        leaderboard(runs, settings, with_flags=False),
        Table("The flags in which the runs differ", ("run", *flags), tuple(rows)),
    ]


def leaderboard(
    runs: Sequence[EvaluatedRun], settings: Sequence[Setting], with_flags: bool = True
) -> Table:
    """The runs, best first in the first setting, with the flags in which they differ."""
    runs = ranked(runs, settings[0]) if settings else runs
    flags = differing_values(runs) if with_flags else {}
    headings, common = _headings(settings)
    rows, notes = [], [NOTE_ONE_TRAINING] if settings else []
    for setting in settings:
        if len({run.stored.data for run in runs if setting in run.results}) > 1:
            notes.append(NOTE_OTHER_IMAGES)
            break
    for i, run in enumerate(runs):
        cells = [_accuracy(run, setting) for setting in settings] or ["-"]
        rows.append((run.name, *(values[i] for values in flags.values()), *cells))
        if early := _evaluated_early(run, settings):
            notes.append(f"*: {run.name} was evaluated before its training ended, {early}.")
    title = ", ".join(("Accuracy in %", *common))
    columns = ("run", *flags, *(headings or ["accuracy"]))
    return Table(title, columns, tuple(rows), "\n".join(notes))


def _headings(settings: Sequence[Setting]) -> tuple[list[str], list[str]]:
    """A heading for each setting, and the words that all settings share."""
    words = [setting.words() for setting in settings]
    own = [
        name in ("shots", "mode", "split") or len({w[i] for w in words}) > 1
        for i, name in enumerate(Setting._fields)
    ]
    headings = ["\n".join(t for t, o in zip(w, own, strict=True) if o) for w in words]
    return headings, [t for t, o in zip(words[0], own, strict=True) if not o] if words else []


def _accuracy(run: EvaluatedRun, setting: Setting) -> str:
    if setting not in run.results:
        return "-"
    mean, half_width, _ = run.results[setting].accuracy
    star = "" if run.finished(run.results[setting]) else " *"
    return f"{percent(mean)} ± {percent(half_width)}{star}"


def _evaluated_early(run: EvaluatedRun, settings: Sequence[Setting]) -> str:
    """Outer steps of the evaluated weights, if these are not the final ones."""
    results = [run.results[setting] for setting in settings if setting in run.results]
    steps = sorted({result.outer_steps for result in results if not run.finished(result)})
    if not steps:
        return ""
    done = " and ".join(f"{step:,}" for step in steps)
    return f"after {done} of {counted(run.stored.config.outer_steps, 'outer step')}"


def pairs_table(pairs: Sequence[Pair], setting: Setting) -> Table:
    """Paired tests between runs; in the note, which pairs could not be tested and why."""
    tested = [(pair, pair.outcome) for pair in pairs if pair.outcome]
    several = len(tested) > 1
    adjusted = holm([1.0 if outcome.p is None else outcome.p for _, outcome in tested])
    rows = []
    for (pair, outcome), p in zip(tested, adjusted, strict=True):
        difference = f"{100 * outcome.difference:+.2f} ± {percent(outcome.half_width)}"
        row = (pair.first.name, pair.second.name, difference, _p_value(outcome.p))
        rows.append((*row, _p_value(None if outcome.p is None else p)) if several else row)
    columns, notes = (), _untested(pairs)
    if tested:
        columns = ("first", "second", "difference", "p", *["p, Holm"] * several)
        corrected = f", corrected by Holm for {len(tested)} tests" * several
        notes = [f"{NOTE_PAIRS}{corrected}.", *notes]
    title = f"On the same episodes, {', '.join(setting.words()[:5])}"
    return Table(title, columns, tuple(rows), "\n".join(notes))


def _untested(pairs: Sequence[Pair]) -> list[str]:
    """A sentence for each reason why pairs were not tested."""
    obstacles = defaultdict(list)
    for pair in pairs:
        if not pair.outcome:
            obstacles[pair.obstacle].append(f"{pair.first.name} and {pair.second.name}")
    return [f"Not tested, {why}: {'; '.join(names)}." for why, names in obstacles.items()]


def seeds_table(runs: Sequence[EvaluatedRun], setting: Setting) -> Table | None:
    """Mean and spread of runs that differ in --seed only; None where no two runs do."""
    groups: dict[tuple, dict[int, EvaluatedRun]] = defaultdict(dict)
    for run in runs:
        if setting in run.results:
            values = training_values(run)
            seed = values.pop(flag_of("seed"))
            steps = run.results[setting].outer_steps
            groups[(*values.values(), steps)].setdefault(seed, run)
    several = [group for group in groups.values() if len(group) > 1]
    if not several:
        return None
    flags = differing_values([next(iter(group.values())) for group in several])
    flags.pop(flag_of("seed"), None)
    spreads = [
        over_seeds([run.results[setting].accuracy.mean for run in group.values()])
        for group in several
    ]
    rows = [
        (*(values[i] for values in flags.values()), ", ".join(map(str, sorted(group))), *_spread(s))
        for i, (group, s) in enumerate(zip(several, spreads, strict=True))
    ]
    title = f"Over seeds, accuracy in %, {', '.join(setting.words()[:5])}"
    columns = (*flags, "seeds", "mean", "deviation", "95% interval")
    return Table(title, columns, tuple(rows), NOTE_SEEDS)


def _spread(spread: Spread) -> tuple[str, str, str]:
    return percent(spread.mean), percent(spread.deviation), f"± {percent(spread.half_width)}"


def percent(share: float | None) -> str:
    """0 ... 1 as 0 ... 100 with two decimals; a question mark if unknown."""
    return "?" if share is None else f"{100 * share:.2f}"


def _p_value(p: float | None) -> str:
    """A p value for a table; a question mark where there is none."""
    if p is None:
        return "?"
    return "<0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.1 else f"{p:.2f}"


def leaderboard_csv(runs: Sequence[EvaluatedRun], settings: Sequence[Setting]) -> str:
    """A line for each run and setting, in the leaderboard's order; one without result if none.

    Columns: run, the differing flags, Setting's fields, outer_steps, accuracy, half_width
    (both 0 ... 1; the interval is over episodes).
    """
    runs = ranked(runs, settings[0]) if settings else runs
    flags = differing_values(runs)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", *flags, *Setting._fields, "outer_steps", "accuracy", "half_width"])
    for i, run in enumerate(runs):
        start = [run.path, *(values[i] for values in flags.values())]
        found = [setting for setting in settings if setting in run.results]
        for setting in found:
            (mean, half_width, _), steps, _ = run.results[setting]
            writer.writerow([*start, *setting, steps, mean, half_width])
        if not found:
            writer.writerow([*start, *[""] * (len(Setting._fields) + 3)])
    return text.getvalue()
