"""How a sweep comes out, and what it proposes, from numbers instead of trainings."""

from __future__ import annotations

import csv
import dataclasses
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stored_runs import write_run

pytest.importorskip("ray", reason="the extra [sweep] is not installed")
pytest.importorskip("cmaes", reason="the extra [sweep] is not installed")

from supervised_reptile.sweep.results import _draw, show
from supervised_reptile.sweep.run_sweep import reports, searcher
from supervised_reptile.sweep.space import Space, Sweep, read_space

RANGES = "learning-rate = { log = [1e-4, 1e-2] }\ninner-iters = { int = [1, 30] }"
LISTS = "meta-step = [0.25, 0.5, 1.0]\nsgd = [true, false]"


def space(folder: Path, method: str, ranges: str, more: str = "") -> Space:
    folder.mkdir(exist_ok=True)
    text = f'[search]\nmethod = "{method}"\nseed = 3\n[space]\n{ranges}\n[fixed]\nmeta-iters = 80\n'
    (folder / "space.toml").write_text(text + f"val-classes = 5\n{more}")
    return read_space(folder / "space.toml")


def proposals(described: Space, count: int, saved: Path | None = None) -> list[dict[str, Any]]:
    """One after the other, each with its result; saved: restored from there before each."""
    search, points = searcher(described), []
    for number in range(count):
        if saved and number:
            search = searcher(described)
            search.restore(str(saved))
        points.append(search.suggest(f"{number}"))
        value = 1 - abs(np.log10(points[-1].get("learning-rate", 1e-3)) + 3)
        search.on_trial_complete(f"{number}", {"accuracy": value, "training_iteration": 1})
        if saved:
            search.save(str(saved))
    return points


@pytest.mark.parametrize("method", ["random", "tpe", "cma-es"])
def test_a_search_proposes_the_same_again(tmp_path: Path, method: str) -> None:
    """Also where it was interrupted after each trial; and within the space."""
    described = space(tmp_path, method, RANGES if method == "cma-es" else f"{RANGES}\n{LISTS}")
    whole = proposals(described, 14)
    assert whole == proposals(described, 14) == proposals(described, 14, tmp_path / "state")
    assert len({str(point) for point in whole}) == 14
    for point in whole:
        assert 1e-4 <= point["learning-rate"] <= 1e-2
        assert point["inner-iters"] in range(1, 31)
        assert type(point.get("sgd", True)) is bool
    other = dataclasses.replace(described, search={**described.search, "seed": 4})
    assert proposals(other, 2) != whole[:2]


def test_a_grid_and_first_points_come_in_their_order(tmp_path: Path) -> None:
    assert proposals(space(tmp_path, "grid", LISTS), 6) == [
        {"meta-step": step, "sgd": sgd} for step in (0.25, 0.5, 1.0) for sgd in (True, False)
    ]
    first = {"learning-rate": 1e-3, "inner-iters": 5}
    more = "[[first]]\nlearning-rate = 1e-3\ninner-iters = 5"
    points = proposals(space(tmp_path, "tpe", RANGES, more), 2)
    assert points[0] == first != points[1]


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    described = space(tmp_path, "random", "learning-rate = { log = [1e-4, 1e-2] }\n" + LISTS)
    return Sweep(described, str(tmp_path / "data"), tmp_path / "sweep", 4, 1, 1, 0.0, None)


@pytest.fixture
def rows(sweep: Sweep) -> list[dict[str, Any]]:
    """The leaderboard of two trials that finished, one that was stopped and one that failed."""
    found = []
    for number, state in ((3, "finished"), (1, "finished"), (0, "stopped early"), (2, "failed")):
        run = write_run(sweep.out / "trials" / f"{number:03d}", outer_steps=80, val_classes=5)
        found.append({
            "trial": number, "state": state, "accuracy": None if state == "failed" else 0.75,
            "half_width": 0.01 if state == "finished" else None, "outer_steps": 11,
            "outer_steps_planned": 80, "training_seconds": 1.0, "run": str(run),
            "--learning-rate": 1e-3 * (1 + number), "--meta-step": 1.0, "--sgd": False,
        })  # fmt: skip
    return found


def test_a_sweep_leaves_a_leaderboard_and_a_picture(
    sweep: Sweep, rows: list[dict[str, Any]], capsys: pytest.CaptureFixture
) -> None:
    show(sweep, rows)
    with (sweep.out / "leaderboard.csv").open() as file:
        written = list(csv.DictReader(file))
    assert [row["trial"] for row in written] == ["3", "1", "0", "2"]
    assert written[0] == {name: str(value) for name, value in rows[0].items()}
    assert (written[2]["half_width"], written[3]["accuracy"]) == ("", "")
    assert (sweep.out / "objective.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "75.00 ± 1.00" in printed
    again, test = (shlex.split(line) for line in printed.splitlines() if "run_omniglot" in line)
    assert again == [
        "python", "run_omniglot.py", "--data-dir", sweep.data_dir, "--meta-iters", "80",
        "--val-classes", "5", "--learning-rate", "0.004", "--meta-step", "1.0",
        "--checkpoint", "runs/best-of-sweep",
    ]  # fmt: skip
    assert test[2:] == [
        "--data-dir", sweep.data_dir, "--checkpoint", rows[0]["run"], "--pretrained",
        "--eval-splits", "test",
    ]  # fmt: skip


def test_nothing_finished_has_no_winner(
    sweep: Sweep, rows: list[dict[str, Any]], capsys: pytest.CaptureFixture
) -> None:
    show(sweep, rows[2:])
    assert "run_omniglot.py" not in capsys.readouterr().out
    assert not (sweep.out / "objective.png").exists()


def test_the_picture_has_a_panel_for_each_flag(sweep: Sweep, rows: list[dict[str, Any]]) -> None:
    figure = _draw(sweep, rows)
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "--learning-rate",
        "--meta-step",
        "--sgd",
    ]
    rate, step, _ = figure.axes
    assert rate.get_xscale() == "log"
    assert [label.get_text() for label in step.get_xticklabels()] == ["0.25", "0.5", "1"]
    stopped, finished = (container.lines[0].get_xdata().tolist() for container in rate.containers)
    assert (stopped, finished) == ([1e-3], [4e-3, 2e-3])


def test_the_accuracy_while_training_is_that_of_recent_evaluations(sweep: Sweep) -> None:
    """One after the last outer step is left out: early stopping is over then."""
    config = sweep.parse("000", {"learning-rate": 1e-3}).config
    assert reports(config) == []
    values = (0.1, 0.3, 0.5, 0.2, 0.8)
    lines = [json.dumps({"step": 20 * i - (i > 3), "val": v}) for i, v in enumerate(values)]
    write_run(Path(config.checkpoint))
    (Path(config.checkpoint) / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
    found = reports(config)
    assert [report["outer_steps"] for report in found] == [1, 21, 41, 61]
    assert [report["percent"] for report in found] == [1.25, 26.25, 51.25, 76.25]
    means = [0.1, 0.3, np.mean([0.3, 0.5]), np.mean([0.5, 0.2])]
    assert [report["accuracy"] for report in found] == pytest.approx(means)
