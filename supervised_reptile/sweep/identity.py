"""What a sweep was started with: --resume takes the same space and the same data, nothing else."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supervised_reptile.config import EXECUTION, IMAGES, PLACE, fields_of, flag_of
from supervised_reptile.errors import UserError
from supervised_reptile.runs.read_run import CONFIG, read_stored
from supervised_reptile.sweep.dimensions import Choices, Range, as_toml
from supervised_reptile.sweep.space import COMMANDS, Space, configuration, extremes
from supervised_reptile.sweep.trials import SPLIT, SWEEP, Plan, holds_sweep
from supervised_reptile.system.atomic_files import read_json, reading, write_json, writing

if TYPE_CHECKING:
    from supervised_reptile.data.dataset import Dataset

DATA = "data.json"  # in a sweep's folder: checksum of its data set, names of the classes
REMEDY = "restore it from a copy, or give another --out"
NONE = "not given"


def check_sweep(plan: Plan, resume: bool) -> dict[str, Any]:
    """What is stored of the data, which are loaded: that also fills the cache that trials read.

    Raises:
      UserError: plan.out holds a sweep without `resume`, none with it, or one of another space
        or on other data; or the data have no validation classes, or others for each seed.
    """
    holds = holds_sweep(plan.out)
    if holds and not resume:
        raise UserError(f"{plan.out} holds a sweep: give --resume to continue it, or another --out")
    if resume and not holds:
        raise UserError(f"{plan.out} holds no sweep to resume: leave --resume out")
    if holds:
        check_space(plan.out, plan.space)
    dataset = _load(plan)
    if SPLIT not in dataset.pools:
        raise UserError(
            f"{plan.data_dir} has no validation classes, by which a sweep chooses: hold some out "
            "(--val-classes; of your own images by --split)"
        )
    _check_seeds(plan, dataset)
    if holds and (plan.out / DATA).exists():
        with reading(plan.out / DATA, REMEDY):
            stored = read_json(plan.out / DATA)
            _check_same(plan, stored["data"], stored["classes"], dataset)
    elif holds:
        _check_trials(plan)
    return {"data": dataset.checksum, "classes": dataset.class_names}


def write_data(out: Path, data: Mapping[str, Any]) -> None:
    """Store what `check_sweep` returned."""
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / DATA, data)


def _load(plan: Plan, **fields: Any) -> Dataset:
    """The data as trials read them; `fields` of their configuration have other values."""
    space = plan.space
    config = configuration(space.command, space.words(next(extremes(space))), plan.data_dir)
    return COMMANDS[space.command].source.load(dataclasses.replace(config, **fields))


def _check_seeds(plan: Plan, dataset: Dataset) -> None:
    """Refuse to compare accuracies on the classes that each seed draws (UserError)."""
    if not (dimension := plan.space.dimensions.get("seed")):
        return
    for seed in {int(value) for value in (min(dimension.ends), max(dimension.ends))}:
        with contextlib.redirect_stderr(io.StringIO()):  # the same notes again
            other = _load(plan, seed=seed)
        if other.class_names != dataset.class_names:
            raise UserError(
                "seed is in [space], but each seed draws other validation classes from "
                f"{plan.data_dir}, and accuracies on different classes cannot be compared: put it "
                "into [fixed]"
            )


def _check_same(
    plan: Plan, data: str, classes: Mapping[str, Sequence[str]], dataset: Dataset
) -> None:
    remedy = "name those by --data-dir, or give another --out"
    if data != dataset.checksum:
        raise UserError(
            f"{plan.data_dir}: the images are not those that the sweep in {plan.out} was started "
            f"with: {remedy}"
        )
    as_lists = [{s: list(n) for s, n in c.items()} for c in (classes, dataset.class_names)]
    if as_lists[0] != as_lists[1]:
        raise UserError(
            f"{plan.data_dir}: the classes are not split as when the sweep in {plan.out} was "
            f"started: {remedy}"
        )


def _check_trials(plan: Plan) -> None:
    """Compare the data with those of all trials: older versions stored them nowhere else."""
    runs = sorted(path.parent for path in (plan.out / "trials").glob(f"*/{CONFIG}"))
    of_images = [flag_of(name).removeprefix("--") for name in fields_of(IMAGES)]
    varied = [name for name in plan.space.dimensions if name in of_images]
    told = f"its {len(runs)} trials ran on these"
    if varied:  # of which each trial reads other pixels
        told = f"whether its trials ran on these cannot be told, because {varied[0]} varies"
        runs = []
    elif not runs:
        told = "no trial has a run directory yet, so these are taken"
    loaded: dict[int, Dataset] = {}
    for run in runs:
        stored = read_stored(run)
        seed = stored.config.seed
        loaded[seed] = loaded.get(seed) or _load(plan, seed=seed)
        _check_same(plan, stored.data, dict(stored.classes), loaded[seed])
    print(
        f"Note: the sweep in {plan.out} was started by an older version, which did not store its "
        f"data's checksum; {told}",
        file=sys.stderr,
    )


def check_space(out: Path, space: Space) -> None:
    """Refuse to go on in another space (UserError, which says what differs)."""
    with reading(out / SWEEP, REMEDY):
        was = _settings(read_json(out / SWEEP))
    now = _settings(as_json(space))
    differing = [
        f"{name} was {was.get(name, NONE)}, is {now.get(name, NONE)}"
        for name in {**was, **now}
        if was.get(name) != now.get(name)
    ]
    if differing:
        raise UserError(
            f"{out} holds a sweep of another space: {'; '.join(differing)}. Take that back, "
            "or give another --out"
        )


def as_json(space: Space) -> dict[str, Any]:
    """A space as its file in the sweep's folder holds it."""
    return json.loads(json.dumps(dataclasses.asdict(space)))


def _settings(space: Mapping[str, Any]) -> dict[str, str]:
    """What a space of `as_json` consists of: names and values as SPACE.toml has them.

    Without flags of [fixed] that are no part of a trial's result.
    """
    free = {flag_of(name).lstrip("-") for name in fields_of(PLACE, EXECUTION)}
    search = {
        **{name: space[name] for name in ("command", "method", "objective", "seed")},
        "training-images": space["training_images"],
        "early-stopping": "asha" if space["early_stopping"] else None,
        **(space["early_stopping"] or {}),
    }
    fixed = {name: value for name, value in space["fixed"].items() if name not in free}
    ranges = {name: _dimension(value) for name, value in space["dimensions"].items()}
    return {
        **{f"[search] {n}": json.dumps(v) for n, v in search.items() if v is not None},
        **{name: json.dumps(value) for name, value in fixed.items()},
        **{name: as_toml(dimension) for name, dimension in ranges.items()},
        **({"[[first]]": json.dumps(space["first"])} if space["first"] else {}),
    }


def _dimension(stored: list[Any]) -> Choices | Range:
    return Choices(tuple(stored[0])) if len(stored) == 1 else Range(*stored)
