"""The search of a sweep: the same trials whatever interrupts it, and none forgotten."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="the extra [sweep] is not installed")
pytest.importorskip("cmaes", reason="the extra [sweep] is not installed")

from supervised_reptile.errors import UserError
from supervised_reptile.sweep.dimensions import Choices, Range, Value
from supervised_reptile.sweep.space import Point, Space
from supervised_reptile.sweep.study import Asked, Study

RANGES = {"learning-rate": Range(1e-4, 1e-2, log=True), "inner-iters": Range(1, 30, integer=True)}
LISTS = {"meta-step": Choices((0.25, 0.5, 1.0)), "sgd": Choices((True, False))}


def space(method: str, **fields: object) -> Space:
    dimensions = {"cma-es": RANGES, "grid": LISTS}.get(method, {**RANGES, **LISTS})
    return Space("omniglot", method, dimensions, {}, **fields)


def objective(point: Point) -> float:
    """Highest at a learning rate of 1e-3 and 10 inner steps."""
    rate = math.log10(float(point.get("learning-rate", 1e-3))) + 3
    steps = (int(point.get("inner-iters", 10)) - 10) / 30
    return 1 - rate**2 - steps**2 - (0.1 if point.get("sgd") else 0)


def asked_one_by_one(out: Path, kind: Space, count: int, reopened: bool) -> list[Asked]:
    """`count` trials, each answered before the next; `reopened`: by another process each time."""
    study = Study(out, kind)
    for _ in range(count):
        if reopened:
            study = Study(out, kind)
        asked = study.ask()
        study.tell(asked.number, objective(asked.point))
    return study.trials


@pytest.mark.parametrize("method", ["random", "tpe", "cma-es"])
def test_a_search_goes_on_as_if_never_interrupted(tmp_path: Path, method: str) -> None:
    whole = asked_one_by_one(tmp_path / "whole", space(method), 14, reopened=False)
    parts = asked_one_by_one(tmp_path / "parts", space(method), 14, reopened=True)
    assert parts == whole
    assert [asked.number for asked in whole] == list(range(14))
    assert len({tuple(asked.point.values()) for asked in whole}) == 14


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_points_are_inside_of_the_space(tmp_path: Path, method: str) -> None:
    for asked in asked_one_by_one(tmp_path, space(method), 15, reopened=False):
        assert 1e-4 <= asked.point["learning-rate"] <= 1e-2
        assert asked.point["inner-iters"] in range(1, 31)
        assert asked.point["meta-step"] in LISTS["meta-step"].values
        assert type(asked.point["sgd"]) is bool


def test_seeds_differ(tmp_path: Path) -> None:
    one, other = (
        asked_one_by_one(tmp_path / str(seed), space("random", seed=seed), 3, reopened=False)
        for seed in (0, 1)
    )
    assert {asked.point["learning-rate"] for asked in one}.isdisjoint(
        {asked.point["learning-rate"] for asked in other}
    )


@pytest.mark.parametrize("method", ["tpe", "cma-es"])
def test_answers_guide_the_search(tmp_path: Path, method: str) -> None:
    """The last ten of forty trials lie nearer to the best point than the first ten."""
    found = asked_one_by_one(tmp_path, space(method), 40, reopened=False)
    values = [objective(asked.point) for asked in found]
    assert sum(values[-10:]) > sum(values[:10]) + 0.5


def test_a_grid_is_walked_through_once(tmp_path: Path) -> None:
    found = asked_one_by_one(tmp_path, space("grid"), 6, reopened=True)
    assert [asked.point for asked in found] == [
        {"meta-step": step, "sgd": sgd} for step in (0.25, 0.5, 1.0) for sgd in (True, False)
    ]


def test_first_points_come_first(tmp_path: Path) -> None:
    first: dict[str, Value] = {
        "learning-rate": 1e-3, "inner-iters": 5, "meta-step": 1.0, "sgd": False,
    }  # fmt: skip
    kind = space("tpe", first=(first,))
    found = asked_one_by_one(tmp_path, kind, 3, reopened=False)
    assert found[0].point == first
    assert found[1].point != first


def test_trials_without_an_answer_are_remembered(tmp_path: Path) -> None:
    study = Study(tmp_path, space("random"))
    numbers = [study.ask() for _ in range(3)]
    study.tell(1, 0.5)
    again = Study(tmp_path, space("random")).trials
    assert [(asked.number, asked.point) for asked in again] == [n[:2] for n in numbers]
    assert [asked.value for asked in again] == [None, 0.5, None]


@pytest.mark.parametrize("method", ["grid", "random"])
def test_killed_while_asking(tmp_path: Path, method: str) -> None:
    """The journal ends anywhere after the trial was created; its point is tried by another one."""
    whole = [asked.point for asked in asked_one_by_one(tmp_path / "a", space(method), 6, False)]
    study = Study(tmp_path / "b", space(method))
    study.tell(study.ask().number, 0.5)
    before = (tmp_path / "b" / "study.journal").read_bytes().count(b"\n")
    study.ask()
    lines = (tmp_path / "b" / "study.journal").read_bytes().splitlines(keepends=True)
    (tmp_path / "b" / "study.journal").write_bytes(b"".join(lines[: before + 2]))
    study = Study(tmp_path / "b", space(method))
    assert len(study.trials) == 1
    for _ in range(5):
        study.ask()
    points = [asked.point for asked in study.trials]
    assert len(points) == 6
    if method == "grid":
        assert sorted(map(str, points)) == sorted(map(str, whole))


def test_a_damaged_memory_is_named(tmp_path: Path) -> None:
    study = Study(tmp_path, space("random"))
    study.tell(study.ask().number, 0.5)
    for name in ("study.journal", "sweep.json"):
        path = tmp_path / name
        whole = path.read_text()
        path.write_text(whole.replace("{", "[", 1))
        with pytest.raises(UserError, match=f"{name}: not readable .* another --out"):
            Study(tmp_path, space("random"))
        path.write_text(whole)
    assert [asked.value for asked in Study(tmp_path, space("random")).trials] == [0.5]


def test_another_space_is_refused(tmp_path: Path) -> None:
    Study(tmp_path, space("random"))
    Study(tmp_path, space("random"))
    for other in (space("tpe"), dataclasses.replace(space("random"), fixed={"meta-iters": 3})):
        with pytest.raises(UserError, match="another space"):
            Study(tmp_path, other)
