"""`reptile reproduce cost`: what is measured, kept, continued and shown."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command_line import ROOT, Outcome, assert_refused, call, edit_json, flags
from PIL import Image

from supervised_reptile.analysis.plots import COLORS
from supervised_reptile.analysis.study import read_study
from supervised_reptile.cli.main import reptile
from supervised_reptile.errors import Interrupted, UserError
from supervised_reptile.paper import cost
from supervised_reptile.paper.cost import Case, run_probe
from supervised_reptile.system.stop_signals import StopSignals


def made_up(case: Case, *_: object) -> dict[str, float]:
    """A measurement that follows a simple rule, from 1 MiB and 1 ms on."""
    grows = case.algorithm == "maml"
    peak = 901 + (10 * case.inner_steps if grows else case.round)
    seconds = 0.001 * case.inner_steps * (3 if grows else 1) * (1 + case.round)
    return {"base": 900.0, "peak": float(peak), "seconds": seconds}


def study_cost(out: Path, **more: object) -> Outcome:
    return call("reproduce", "cost", *flags(out=out, **more), command=reptile)


def counted(
    monkeypatch: pytest.MonkeyPatch, probe: Callable[..., dict[str, float]] = made_up
) -> list[Case]:
    """Replace the processes by `probe`; returns the cases it is going to be asked for."""
    cases = []

    def run(case: Case, *_: object) -> dict[str, float]:
        cases.append(case)
        return probe(case)

    monkeypatch.setattr(cost, "run_probe", run)
    return cases


def test_table_figure_and_study(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cases = counted(monkeypatch)
    outcome = study_cost(tmp_path / "out", steps="4,1,20", rounds=3)
    assert outcome.code == 0, outcome.err
    assert len(cases) == len(set(cases)) == 27
    assert [case.round for case in cases] == sorted(case.round for case in cases)
    with (tmp_path / "out" / "cost.csv").open() as file:
        lines = {(line["algorithm"], line["inner_steps"]): line for line in csv.DictReader(file)}
    assert len(lines) == 9
    assert float(lines["maml", "20"]["memory_mib"]) == 201
    assert float(lines["reptile", "4"]["memory_mib"]) == 2
    assert [float(lines["foml", "4"][f"seconds{q}"]) for q in ("_quartile1", "", "_quartile3")] == [
        0.006, 0.008, 0.01,
    ]  # fmt: skip
    study = read_study(tmp_path / "out")
    assert study.tables[0].rows[2][0] == "20"
    assert study.tables[0].rows[2][3] == "201 (201 to 201)"
    assert "10.0 MiB in MAML" in study.text
    assert "0.0 MiB in Reptile" in study.text
    assert "3.0 times" in study.text
    assert study.tables[0].text() in outcome.out
    assert "--steps 1,4,20 --rounds 3" in study.commands[0]


def test_the_figure_shows_every_algorithm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    counted(monkeypatch)
    study_cost(tmp_path, steps="1,20", rounds=1)
    with Image.open(tmp_path / "cost.png") as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("RGB")).astype(int)
    for color in COLORS[:3]:
        wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        assert np.sum(np.abs(pixels - wanted).max(axis=2) < 8) > 300


def test_what_is_measured_is_not_measured_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither after an interruption nor when more is asked for."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"

    def interrupted(case: Case) -> dict[str, float]:
        if case == Case("maml", 5, 0):
            raise Interrupted("Interrupted", signal.SIGINT)
        return made_up(case)

    wanted = {"steps": "1,5", "rounds": 2}
    cases = counted(monkeypatch, interrupted)
    assert study_cost(parts, **wanted).code == 130
    assert len(cases) == 6
    assert not (parts / "study.json").exists()
    cases = counted(monkeypatch)
    assert study_cost(parts, **wanted).code == 0
    assert len(cases) == 7
    cases = counted(monkeypatch)
    assert study_cost(parts, **wanted).code == 0
    assert not cases
    assert study_cost(whole, **wanted).code == 0
    assert (parts / "cost.csv").read_bytes() == (whole / "cost.csv").read_bytes()
    cases = counted(monkeypatch)
    assert study_cost(parts, steps="1,5,7", rounds=2).code == 0
    assert {case.inner_steps for case in cases} == {7}


@pytest.mark.parametrize("name", ["processor", "tensorflow", "threads"])
def test_measurements_from_elsewhere_are_not_continued(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    counted(monkeypatch)
    assert study_cost(tmp_path, steps="1,2", rounds=1).code == 0
    path = tmp_path / "measurements.json"
    edit_json(path, lambda content: content["about"].update({name: "another"}))
    outcome = study_cost(tmp_path, steps="1,2", rounds=2)
    assert_refused(outcome, str(path), name, "another", "--out")


LACKING = {"about": {}, "seconds": 1, "measurements": [{"algorithm": "maml", "round": 0}]}


@pytest.mark.parametrize("content", ["", "{}", "[]", json.dumps(LACKING), "\0"])
def test_an_unreadable_file_of_measurements(tmp_path: Path, content: str) -> None:
    (tmp_path / "measurements.json").write_text(content)
    assert_refused(study_cost(tmp_path), "measurements.json", "not readable")


@pytest.mark.parametrize("steps", ["", "0,1", "1,-2", "a,b", "5", "3,3", "1.5,2", "1,10001"])
def test_wrong_numbers_of_steps(tmp_path: Path, steps: str) -> None:
    outcome = study_cost(tmp_path / "out", steps=steps)
    assert_refused(outcome, "--steps", code=2)
    assert not (tmp_path / "out").exists()


# ---- with real processes


def test_mamls_memory_grows_and_reptiles_does_not(data: Path) -> None:
    """By about 9 MiB an inner step, of a process whose memory differs by tens from run to run."""
    stop = StopSignals()
    took = {
        case: run_probe(Case(*case, 0), str(data), 0, stop)
        for case in (("reptile", 1), ("reptile", 31), ("maml", 1), ("maml", 31))
    }
    memory = {case: result["peak"] - result["base"] for case, result in took.items()}
    assert memory["maml", 31] - memory["maml", 1] > 150
    assert abs(memory["reptile", 31] - memory["reptile", 1]) < 50
    assert all(0.0001 < result["seconds"] < 10 for result in took.values())


def test_what_the_process_says_of_a_failure_comes_through(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"foml, 2 inner steps, round 0: .*nothing"):
        run_probe(Case("foml", 2, 0), str(tmp_path / "nothing"), 0, StopSignals())


def test_ctrl_c_ends_the_process_and_says_how_to_go_on(data: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "supervised_reptile", "reproduce", "cost"]
    place = flags(out=tmp_path, data_dir=data)
    process = subprocess.Popen([*words, *place], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    while not (children := child_file(process.pid).read_text().split()):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    shown = process.stderr.read()
    watchdog.cancel()
    assert process.wait() == 130
    assert "Traceback" not in shown
    assert "the same command continues" in shown
    assert not any(is_alive(int(child)) for child in children)


def child_file(pid: int) -> Path:
    return Path(f"/proc/{pid}/task/{pid}/children")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
