"""`reptile reproduce gradients` and `overlap`: many runs side by side, then figures and tables."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import PATIENCE, Outcome, assert_refused, assert_same_state, call, flags

from supervised_reptile.analysis.study import read_study
from supervised_reptile.cli.main import reptile
from supervised_reptile.paper import inner_gradients, overlap

FRACTION = 0.005  # 200 outer steps, two evaluations during training
EPISODES = 12


def few_gradients(out: Path, data: Path, episodes: int = 10) -> Outcome:
    words = ("--fraction", FRACTION, "--eval-samples", episodes)
    return call("reproduce", "gradients", "--out", out, "--data-dir", data, *words, command=reptile)


def test_gradient_combinations(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").symlink_to(data)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        inner_gradients, "COMBINATIONS", inner_gradients.COMBINATIONS[:4:3]
    )  # g1, g2
    monkeypatch.setattr(inner_gradients, "CLAIMS", (("g2", "g1"),))
    outcome = few_gradients(tmp_path / "out", Path("data"))
    assert outcome.code == 0, outcome.err
    study = read_study(tmp_path / "out")
    assert "200 outer steps instead of the paper's 40,000" in study.caveat
    assert study.commands[0].endswith("gradients --out DIR --fraction 0.005 --eval-samples 10")
    assert study.environment["tensorflow"]
    assert [row[0] for row in study.tables[0].rows] == ["g1", "g2"]
    assert study.tables[1].rows[0][4] in ("holds", "reversed", "undecided")
    with (tmp_path / "out" / "gradients.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["combination"], row["outer step"]) for row in rows] == [
        (label, step) for label in ("g1", "g2") for step in ("0", "100")
    ]
    by_hand = flags(checkpoint=tmp_path / "out" / "runs" / "g2", shots=1, pretrained=True)
    assert call("omniglot", *by_hand, command=reptile).code == 0
    again = few_gradients(tmp_path / "out", tmp_path / "no data here")
    assert again.code == 0, again.err
    assert again.out == outcome.out
    more = few_gradients(tmp_path / "out", data, episodes=EPISODES)
    assert more.code == 0, more.err
    assert f"over {EPISODES:,} episodes" in more.out
    for name in ("g1", "g2"):
        log = (tmp_path / "out" / "runs" / f"{name}.log").read_text()
        assert (log.count("Training..."), log.count("Evaluating...")) == (1, 2)


def test_claims_are_judged_by_curves_and_by_their_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Episodes are the same for both: a constant difference is certain, one as often up as down
    is not."""
    monkeypatch.setattr(inner_gradients, "CLAIMS", (("g2", "g1"), ("g1", "g2"), ("g3", "g1")))
    odd = np.arange(400) % 2
    curves = {"g1": 0.5 + 0.2 * odd, "g2": 0.6 + 0.2 * odd, "g3": 0.7 - 0.2 * odd}
    ends = {"g1": 3 + odd, "g2": 2 + odd, "g3": 4 - odd}
    results = [
        inner_gradients.TrainedCombination(
            c,
            inner_gradients.configuration(c, Path("out")),
            odd,
            curves[c.label],
            ends[c.label],
            {},
        )
        for c in inner_gradients.COMBINATIONS
        if c.label in curves
    ]
    half = f"{1.96 * 20 * (400 / 399) ** 0.5 / 20:.2f}"  # a standard deviation of 20 points
    assert [row[1:3] for row in inner_gradients.claims(results).rows] == [
        ("+10.00 ± 0.00", "holds"),
        ("-10.00 ± 0.00", "reversed"),
        (f"+0.00 ± {half}", "undecided"),
    ]
    assert [row[4] for row in inner_gradients.claims(results).rows] == [
        "reversed",
        "holds",
        "undecided",
    ]


def test_the_ten_curves_are_the_papers() -> None:
    by_label = {
        c.label: inner_gradients.configuration(c, Path("out")) for c in inner_gradients.COMBINATIONS
    }
    assert len(by_label) == 10
    assert len({config.checkpoint for config in by_label.values()}) == 10
    for label, config in by_label.items():
        assert config.train_shots == 5 * config.inner_steps
        assert config.algorithm == ("foml" if label in ("g2", "g3", "g4") else "reptile")
        assert config.outer_step_size == {"1/2": 0.125, "1/3": 0.08325, "1/4": 0.0625}.get(
            label[:3], 0.25
        )
        assert (config.sgd, config.inner_batch, config.inner_rate) == (True, 25, 0.003)


def test_overlap(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = (2, 4), (25,), (0.25,)  # the second panel's runs are also the first's
    short = [p._replace(values=v) for p, v in zip(overlap.PANELS, values, strict=True)]
    monkeypatch.setattr(overlap, "PANELS", tuple(short))
    monkeypatch.setattr(overlap, "VARIANTS", overlap.VARIANTS[1:3])
    words = ("--data-dir", data, "--outer-steps", 10, "--eval-samples", 10)
    outcome = call("reproduce", "overlap", "--out", tmp_path / "out", *words, command=reptile)
    assert outcome.code == 0, outcome.err
    study = read_study(tmp_path / "out")
    assert study.caveat == "10 outer steps in each run instead of 2,000"
    assert outcome.out.count(study.caveat) == len(study.tables)
    assert study.commands[0].endswith("overlap --out DIR --outer-steps 10 --eval-samples 10")
    assert [row[0] for row in study.tables[0].rows] == [
        variant.label for variant in overlap.VARIANTS
    ]
    assert len(study.tables[0].rows[0]) == 3
    with (tmp_path / "out" / "overlap.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    varied = [(row["varied"], row["value"]) for row in rows]
    expected = [("inner_steps", "2"), ("inner_steps", "4")] * 2
    expected += [("inner_batch", "25")] * 2 + [("outer_step_size", "0.25")] * 2
    assert varied == expected
    assert len(list((tmp_path / "out" / "runs").glob("*.log"))) == 6


def test_panels_share_the_runs_that_they_have_in_common() -> None:
    points = overlap.points(Path("out"), outer_steps=2000)
    configs = {point.config.checkpoint: point.config for point in points}
    assert len(points) == 4 * (7 + 7 + 5)
    assert len(configs) == 4 * (7 + 6 + 4)
    for point in points:
        assert point.config == configs[point.config.checkpoint]
        assert getattr(point.config, point.panel.field) == point.value


def test_a_failing_run_is_reported_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inner_gradients, "COMBINATIONS", inner_gradients.COMBINATIONS[:2])
    outcome = few_gradients(tmp_path / "out", tmp_path / "no data here")
    assert_refused(outcome, "g1 failed", "g1+g2 failed", "no data here")


def test_ctrl_c_is_passed_on_and_the_same_command_continues(data: Path, tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from supervised_reptile.paper import inner_gradients\n"
        "inner_gradients.COMBINATIONS = inner_gradients.COMBINATIONS[:4:3]\n"
        "inner_gradients.CLAIMS = (('g2', 'g1'),)\n"
        "from supervised_reptile.cli.main import main\n"
        "main()\n"
    )

    def start(out: Path) -> subprocess.Popen:
        words = ["reproduce", "gradients", "--out", out, "--data-dir", data, "--eval-samples", 10]
        words += ["--fraction", 0.01]
        return subprocess.Popen(
            [sys.executable, "-c", program, *map(str, words)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ,
        )  # fmt: skip

    out = tmp_path / "out"
    with start(out) as process:
        metrics, until = out / "runs" / "g1" / "metrics.jsonl", time.monotonic() + PATIENCE
        while not (metrics.exists() and metrics.read_bytes()) and time.monotonic() < until:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "the same command continues" in errors
    whole = tmp_path / "whole"
    for process in [start(folder) for folder in (out, whole)]:
        with process:
            _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
    for name in ("g1", "g2"):
        assert_same_state(out / "runs" / name, whole / "runs" / name)
        one, other = (folder / "runs" / name / "metrics.jsonl" for folder in (out, whole))
        assert one.read_bytes() == other.read_bytes()
