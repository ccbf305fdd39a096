"""How a sweep came out, from run directories made of numbers."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from command_line import call
from stored_runs import write_result, write_run

from supervised_reptile.cli.main import reptile
from supervised_reptile.cli.train import train
from supervised_reptile.runs.read_run import evaluation_settings
from supervised_reptile.sweep.board import leaderboard, show_board, winning
from supervised_reptile.sweep.dimensions import Choices, Dimension, Range
from supervised_reptile.sweep.figure import draw
from supervised_reptile.sweep.space import Space
from supervised_reptile.sweep.standing import FAILED, FINISHED, STOPPED, Standing, stored_standing
from supervised_reptile.sweep.trials import Plan, make_trial, read_looks

SPACE = Space(
    "omniglot",
    "random",
    {"learning-rate": Range(1e-4, 1e-2, log=True), "meta-step": Choices((0.5, 1.0))},
    {"val-classes": 5, "meta-iters": 80},
)
NO_LOOKS: tuple[float, ...] = ()


def standing(
    plan: Plan,
    number: int,
    looks: tuple[float, ...],
    share: float | None,
    value: float | None = 0.5,
) -> Standing:
    """A trial with looks every 10 outer steps, and, with a `share` of right answers, an end."""
    point = {"learning-rate": 1e-3 * (1 + number), "meta-step": 1.0 if number % 2 else 0.5}
    trial = make_trial(plan, number, point)
    config = trial.config
    write_run(trial.path, outer_steps=80, inner_rate=config.inner_rate, val_classes=5)
    lines = [json.dumps({"step": 10 * i, "train": 1.0, "val": v}) for i, v in enumerate(looks)]
    (trial.path / "metrics.jsonl").write_text("".join(line + "\n" for line in lines))
    if share is not None:
        counts = np.random.default_rng(number).binomial(5, share, 200)
        settings = evaluation_settings(config, ("val",))
        write_result(trial.path, {"non_transductive_val": counts}, outer_steps=80, **settings)
    failure = "the loss diverged" if value is None else ""
    return stored_standing(trial, "non_transductive", value, failure)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Plan(SPACE, str(tmp_path / "data"), tmp_path / "sweep", 4, 1, 1, 0.0, None)


@pytest.fixture
def standings(plan: Plan) -> list[Standing]:
    return [
        standing(plan, 0, (0.2, 0.8, 0.9), None, value=0.8),
        standing(plan, 1, (0.2, 0.4), 0.5),
        standing(plan, 2, (0.2,), None, value=None),
        standing(plan, 3, (0.2, 0.4), 0.8),
    ]


def test_finished_trials_come_first_then_stopped_then_failed(
    plan: Plan, standings: list[Standing], capsys: pytest.CaptureFixture
) -> None:
    show_board(plan, standings)
    rows = list(csv.DictReader(io.StringIO((plan.out / "leaderboard.csv").read_text())))
    assert [row["trial"] for row in rows] == ["3", "1", "0", "2"]
    assert [row["state"] for row in rows] == ["finished", "finished", "stopped early", "failed"]
    assert float(rows[0]["accuracy"]) == standings[3].accuracy > 0.7
    assert float(rows[0]["half_width"]) > 0
    assert rows[2]["half_width"] == ""
    assert (rows[2]["outer_steps"], rows[2]["outer_steps_planned"]) == ("11", "80")
    assert float(rows[2]["accuracy"]) == 0.8  # where it was stopped, a look before its end
    assert rows[0]["--learning-rate"] == "0.004"
    assert rows[0]["run"] == str(standings[3].trial.path)
    assert (plan.out / "objective.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    ranked = [standings[i] for i in (3, 1, 0, 2)]
    assert leaderboard(SPACE, ranked).text() in printed


def test_the_winning_command_line_is_ready_to_paste(
    plan: Plan, standings: list[Standing], capsys: pytest.CaptureFixture
) -> None:
    show_board(plan, standings)
    lines = capsys.readouterr().out.splitlines()
    again, test = (shlex.split(line) for line in lines if "run_omniglot.py" in line)
    assert again[:2] == ["python", "run_omniglot.py"]
    flags = dict(zip(again[2::2], again[3::2], strict=True))
    assert flags == {
        "--data-dir": plan.data_dir, "--val-classes": "5", "--meta-iters": "80",
        "--learning-rate": "0.004", "--meta-step": "1.0", "--checkpoint": "runs/best-of-sweep",
    }  # fmt: skip
    assert test[2:] == [
        "--data-dir", plan.data_dir, "--checkpoint", str(standings[3].trial.path), "--pretrained",
        "--eval-splits", "test",
    ]  # fmt: skip
    trial = standings[3].trial
    measured = dataclasses.replace(trial.config, transductive=True, both_modes=True)
    _, test = winning(plan, trial._replace(config=measured))
    assert test.endswith(" --pretrained --transductive --both-modes --eval-splits test")


def test_other_evaluations_of_a_trial_are_not_its_own(plan: Plan) -> None:
    """Those by hand, like the test of the winner: they may come to stand before it."""
    ended = standing(plan, 1, (0.2, 0.4), 0.5)
    path, config = ended.trial.path, ended.trial.config
    own = (path / "results.json").read_text()
    (path / "results.json").unlink()
    one_shot = evaluation_settings(dataclasses.replace(config, shots=1), ("val",))
    test = evaluation_settings(config, ("test",))
    write_result(path, {"non_transductive_test": np.ones(9, int)}, 80, **test)
    write_result(path, {"non_transductive_val": np.ones(9, int)}, 80, **one_shot)
    assert stored_standing(ended.trial, "non_transductive", 0.5).status == STOPPED
    content = json.loads((path / "results.json").read_text())
    content["evaluations"] += json.loads(own)["evaluations"]
    (path / "results.json").write_text(json.dumps(content))
    assert stored_standing(ended.trial, "non_transductive", 0.5) == ended


def test_own_images_have_their_folder_as_an_argument(plan: Plan) -> None:
    space = dataclasses.replace(
        SPACE, command="train", fixed={"meta-iters": 80, "split": "0.5,0.2,0.3"}
    )
    own = plan._replace(space=space)
    trial = make_trial(own, 0, {"learning-rate": 1e-3, "meta-step": 1.0})
    assert trial.config.data_dir == plan.data_dir
    for line in winning(own, trial):
        words = shlex.split(line)
        assert words[:3] == ["reptile", "train", plan.data_dir]
        given = train.make_context("train", words[2:]).params
        assert given["data_dir"] == plan.data_dir
        # The run directory remembers it.
        assert given["split"] == "0.5,0.2,0.3" or given["pretrained"]


def test_a_sweep_is_a_study_for_the_report(plan: Plan, standings: list[Standing]) -> None:
    show_board(plan, standings)
    outcome = call("report", plan.out, "--out", plan.out / "report", command=reptile)
    assert outcome.code == 0, outcome.err
    page = (plan.out / "report" / "report.md").read_text()
    assert "4 trials of `reptile omniglot`, chosen by random search" in page
    assert "- `--learning-rate`: 0.0001 to 0.01 on a logarithmic scale" in page
    assert "`--val-classes 5 --meta-iters 80`" in page


def test_nothing_finished_has_no_winner(plan: Plan, capsys: pytest.CaptureFixture) -> None:
    show_board(plan, [standing(plan, 0, NO_LOOKS, None, value=None)])
    printed = capsys.readouterr().out
    assert "failed" in printed
    assert "run_omniglot.py" not in printed
    assert not (plan.out / "objective.png").exists()


def test_runs_of_a_sweep_are_compared_like_any_others(
    plan: Plan, standings: list[Standing]
) -> None:
    runs = [standings[i].trial.path for i in (1, 3)]
    outcome = call("compare", *runs, "--split", "val", command=reptile)
    assert outcome.code == 0, outcome.err
    order = [line.split()[0] for line in outcome.out.splitlines() if line.startswith("00")]
    assert order[:2] == ["003", "001"]


def test_the_accuracy_while_training_is_that_of_recent_looks(plan: Plan) -> None:
    values = (0.1, 0.3, 0.5, 0.2, 0.8)
    trial = standing(plan, 0, values, None).trial
    looks = read_looks(trial.path)
    assert [look.steps for look in looks] == [1, 11, 21, 31, 41]
    expected = [0.1, 0.3, np.mean([0.3, 0.5]), np.mean([0.5, 0.2]), np.mean([0.5, 0.2, 0.8])]
    assert [look.accuracy for look in looks] == pytest.approx(expected)


KINDS: dict[str, Dimension] = {
    "learning-rate": Range(1e-4, 1e-2, log=True),
    "meta-step-final": Choices((0.0, 0.5)),
    "weight-decay": Choices(tuple(0.98 + 0.0021 * i for i in range(11))),
    "inner-iters": Range(3, 10, integer=True),
    "meta-iters": Range(1, 1e6, log=True, integer=True),
    "outer-optimizer": Choices(("sgd", "momentum", "adam")),
}


def trial_at(plan: Plan, number: int, status: str, names: Sequence[str]) -> Standing:
    ends = {name: KINDS[name].ends[number % 2] for name in names}
    point = {n: int(v) if n == "meta-iters" else v for n, v in ends.items()}
    half_width = 0.01 if status == FINISHED else None
    return Standing(make_trial(plan, number, point), status, 0.5 + number / 100, half_width)


@pytest.mark.parametrize("names", [[n] for n in KINDS] + [list(KINDS)[:n] for n in (2, 3, 4, 6)])
@pytest.mark.parametrize("statuses", [(FINISHED,), (STOPPED,), (FINISHED, STOPPED, FAILED)])
def test_nothing_in_the_figure_covers_anything(
    plan: Plan, names: list[str], statuses: tuple[str, ...]
) -> None:
    plan = plan._replace(space=Space("omniglot", "random", {n: KINDS[n] for n in names}, {}))
    figure = draw(plan.space, [trial_at(plan, i, s, names) for i, s in enumerate(statuses)])
    figure.draw_without_rendering()
    (legend,) = figure.legends
    named = {FINISHED: ["finished", "best"], STOPPED: ["stopped early"], FAILED: []}
    wanted = sorted(name for status in statuses for name in named[status])
    assert sorted(text.get_text() for text in legend.get_texts()) == wanted
    panels = figure.axes[: len(names)]
    texts = [figure._suptitle, *(axes.xaxis.label for axes in panels)]
    for axes in panels:
        low, high = axes.get_xlim()
        texts += [t for t in axes.get_xticklabels() if low <= t.get_position()[0] <= high]
        for line in axes.lines:
            assert all(low <= x <= high for x in line.get_xdata())
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    boxes += [axes.get_window_extent() for axes in panels] + [legend.get_window_extent()]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other), (one, other)
