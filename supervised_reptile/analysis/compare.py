"""Compare runs: their evaluations, the flags in which they differ, and pairs of them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from supervised_reptile.analysis.statistics import Accuracy, Paired, paired
from supervised_reptile.config import (
    IMAGES,
    NON_TRANSDUCTIVE,
    TRAINING,
    TRANSDUCTIVE,
    fields_of,
    flag_of,
)
from supervised_reptile.data.dataset import SPLIT_NAMES
from supervised_reptile.errors import UserError, counted
from supervised_reptile.runs.read_run import (
    EPISODES,
    OF_RESULTS,
    RESULTS,
    Stored,
    read_episodes,
    read_evaluations,
    read_runs_in,
    read_stored,
    short_names,
)
from supervised_reptile.system.atomic_files import reading

MODES = (TRANSDUCTIVE, NON_TRANSDUCTIVE)
SPLITS = tuple(reversed(SPLIT_NAMES))  # test first


class Setting(NamedTuple):
    """Settings of an accuracy; runs with the same setting share a column."""

    way: int
    shots: int
    mode: str  # one of MODES
    split: str  # one of SPLITS
    episodes: int
    eval_batch: int
    eval_steps: int
    eval_seed: int

    def words(self) -> tuple[str, ...]:
        """A text for each field."""
        return (
            f"{self.way}-way",
            f"{self.shots}-shot",
            self.mode.replace("_", "-"),
            self.split,
            counted(self.episodes, "episode"),
            f"{flag_of('eval_batch')} {self.eval_batch}",
            f"{flag_of('eval_steps')} {self.eval_steps}",
            f"{flag_of('eval_seed')} {self.eval_seed}",
        )


class SettingResult(NamedTuple):
    """The accuracy of a run in one setting."""

    accuracy: Accuracy
    outer_steps: int  # of the evaluated weights
    evaluation: Mapping[str, Any]  # as `read_evaluations` gives it


@dataclasses.dataclass(frozen=True)
class EvaluatedRun:
    """A run directory with all its results."""

    path: Path
    name: str
    stored: Stored
    results: Mapping[Setting, SettingResult]

    def finished(self, result: SettingResult) -> bool:
        """Whether the evaluated weights are those of the end of training."""
        return result.outer_steps >= self.stored.config.outer_steps


class Pair(NamedTuple):
    """Two runs in one setting: a paired test, or why there is none."""

    first: EvaluatedRun
    second: EvaluatedRun
    outcome: Paired | None
    obstacle: str = ""


def read_runs(paths: Sequence[Path], may_be_none: bool = False) -> list[EvaluatedRun]:
    """The runs on images in the directories and below: see `read_runs_in`, also for errors."""

    def read(path: Path) -> tuple[Stored, dict[Setting, SettingResult]]:
        stored = read_stored(path)
        return stored, _results(path, stored.config.way)

    found = read_runs_in(paths, read, may_be_none)
    return [
        EvaluatedRun(path, name, *content)
        for (path, content), name in zip(found.items(), short_names(list(found)), strict=True)
    ]


def _results(path: Path, way: int) -> dict[Setting, SettingResult]:
    """The newest result for every setting."""
    results = {}
    evaluations = read_evaluations(path)
    if not evaluations and any((path / EPISODES).glob("*.npz")):
        raise UserError(
            f"{path / RESULTS}: missing, though {path / EPISODES} is there; {OF_RESULTS}"
        )
    with reading(path / RESULTS, OF_RESULTS):
        for evaluation in evaluations:
            for mode, splits in evaluation["accuracy"].items():
                for split, values in splits.items():
                    setting = _setting(way, mode, split, evaluation["settings"])
                    found = Accuracy(**values), evaluation["outer_steps"], evaluation
                    results[setting] = SettingResult(*found)
    return results


def _setting(way: int, mode: str, split: str, stored: Mapping[str, Any]) -> Setting:
    """The setting of `stored` settings (ValueError: unknown mode or split)."""
    if mode not in MODES or split not in SPLITS:
        raise ValueError(f"{mode} accuracy on {split} classes")
    names = ("eval_episodes", "eval_batch", "eval_steps", "eval_seed")
    return Setting(way, stored["shots"], mode, split, *(stored[name] for name in names))


class SettingFilter(NamedTuple):
    """Chooses settings; an empty field chooses all."""

    shots: Collection[int] = ()
    modes: Collection[str] = ()
    splits: Collection[str] = ()

    def flags_for(self, setting: Setting) -> str:
        """The flags of `reptile compare` that would show a setting; empty if it is shown."""
        own = (("--shots", setting.shots), ("--mode", setting.mode), ("--split", setting.split))
        missing = [
            f"{name} {str(value).replace('_', '-')}"
            for (name, value), wanted in zip(own, self, strict=True)
            if wanted and value not in wanted
        ]
        return " ".join(missing)


ALL_SETTINGS = SettingFilter()


def settings_of(
    runs: Sequence[EvaluatedRun], wanted: SettingFilter = ALL_SETTINGS
) -> list[Setting]:
    """The wanted settings of all evaluations, those that most runs share first."""
    found = [setting for run in runs for setting in run.results]

    def order(setting: Setting) -> tuple[Any, ...]:
        mode, split = MODES.index(setting.mode), SPLITS.index(setting.split)
        return -found.count(setting), *setting._replace(mode=mode, split=split)

    return [s for s in sorted(set(found), key=order) if not wanted.flags_for(s)]


def hidden_evaluations(runs: Sequence[EvaluatedRun], wanted: SettingFilter, most: int = 4) -> str:
    """The flags that would show the evaluations that are not wanted."""
    hidden = [s for s in settings_of(runs) if wanted.flags_for(s)]
    known = {" ".join(s.words()[:4]): wanted.flags_for(s) for s in hidden}
    nearest = sorted(known.items(), key=lambda item: item[1].count("--"))
    shown = [f"{flags} shows {words}" for words, flags in nearest[:most]]
    return ", ".join(shown)


def ranked(runs: Sequence[EvaluatedRun], setting: Setting) -> list[EvaluatedRun]:
    """The runs, best first; those without a result in the setting come last."""

    def order(run: EvaluatedRun) -> float:
        return -run.results[setting].accuracy.mean if setting in run.results else 1.0

    return sorted(runs, key=order)


def training_values(run: EvaluatedRun) -> dict[str, Any]:
    """Flag -> value, of every flag that decides the trained weights, and the data's checksum."""
    config = run.stored.config
    values = {flag_of(name): getattr(config, name) for name in fields_of(TRAINING, IMAGES)}
    values[flag_of("train_shots")] = config.task_shots  # 0 stands for the --shots of training
    return {**values, "data": run.stored.data}


def differing_values(runs: Sequence[EvaluatedRun]) -> dict[str, list[str]]:
    """Flag -> its value in each run as a text, for the flags in which the runs differ.

    Images differ by their checksum, and are named by their path if that distinguishes them.
    """
    values = [training_values(run) for run in runs]
    differing = {
        name: [_text(v[name]) for v in values]
        for name in (values or [{}])[0]
        if any(v[name] != values[0][name] for v in values)
    }
    if checksums := differing.pop("data", None):
        paths = [run.stored.config.data_dir for run in runs]
        if len(set(zip(paths, checksums, strict=True))) == len(set(paths)):
            differing[flag_of("data_dir")] = paths
        else:
            differing["data"] = [checksum[:8] for checksum in checksums]
    return differing


def _text(value: Any) -> str:
    """A flag's value as on a command line."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "-"
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"  # 1 rather than 1.0
    return str(value)


def pairs_of(runs: Sequence[EvaluatedRun], setting: Setting) -> list[Pair]:
    """Every two of the runs that were evaluated in the setting, the earlier one first."""
    runs = [run for run in runs if setting in run.results]
    correct, faults = {}, {}
    for run in runs:
        try:
            correct[run.path] = _correct(run, setting)
        except (UserError, KeyError) as error:
            faults[run.path] = f"the per-episode results of {run.name} cannot be read ({error})"
    pairs = []
    for first, second in itertools.combinations(runs, 2):
        obstacle = _obstacle(first, second, setting.split)
        obstacle = obstacle or faults.get(first.path) or faults.get(second.path, "")
        if obstacle:
            pairs.append(Pair(first, second, None, obstacle))
        else:
            outcome = paired(correct[first.path], correct[second.path], setting.way)
            pairs.append(Pair(first, second, outcome))
    return pairs


def _correct(run: EvaluatedRun, setting: Setting) -> np.ndarray:
    """Correct predictions per episode, int [episodes] (UserError, KeyError: not readable)."""
    evaluation = run.results[setting].evaluation
    counts = read_episodes(run.path, evaluation)[f"{setting.mode}_{setting.split}"]
    if counts.shape != (setting.episodes,):
        raise UserError(f"they are not {setting.episodes:,}")
    return counts


def _obstacle(first: EvaluatedRun, second: EvaluatedRun, split: str) -> str:
    """Why two runs with the same setting have different episodes; empty if they do not."""
    if first.stored.data != second.stored.data:
        return "they use different images"
    left, right = (run.stored.classes.get(split) for run in (first, second))
    if left is not None and left == right:
        return ""
    for name in ("seed", "val_classes"):
        if getattr(first.stored.config, name) != getattr(second.stored.config, name):
            return f"other {split} classes ({flag_of(name)} divides them)"
    return f"other {split} classes"
