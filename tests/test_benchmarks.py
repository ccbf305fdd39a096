"""The benchmarks run; what they measure is not judged here. `make soak` has those that train."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from command_line import script

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def run(*arguments: str) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.soak
def test_the_short_mode_measures_everything_once(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    table = run("run.py", "--short", "--json", str(figures))
    (measured,) = json.loads(figures.read_text()).values()
    names = [entry["name"] for entry in measured]
    works = [
        f"{work}, {precision}"
        for precision in ("float32", "bfloat16")
        for work in ("training", "evaluation")
    ]
    peaks = [f"matrix product, {precision}" for precision in ("float32", "bfloat16")]
    plain = "plain TensorFlow, a call per inner step"
    assert names[:7] == [*peaks, *works, plain]  # then the peers that are installed
    for entry in measured:
        assert len(entry["rates"]) == 1
        assert entry["rates"][0] > 0
        assert entry["peak_mib"] > 100
        assert f"| omniglot-5way | {entry['name']} |" in table
    times = measured[2]["rates"][0] / measured[6]["rates"][0]
    assert f"ours, float32, is {times:.2f} times as fast" in table


@pytest.mark.soak
@pytest.mark.parametrize("gigabytes", ["0.5"])
def test_a_store_that_is_not_resident(gigabytes: str) -> None:
    lines = run("large_store.py", "--gigabytes", gigabytes, "--rounds", "1").splitlines()
    assert [line.split(":")[0] for line in lines] == ["0.14 GB", "0.5 GB", "resident memory"]


def test_every_benchmark_says_what_it_does() -> None:
    for name in (
        "run.py",
        "scaling.py",
        "monitoring.py",
        "large_store.py",
        "sine.py",
        "workers.py",
        "long_run.py",
    ):
        assert f"python benchmarks/{name}" in run(name, "--help")


@pytest.mark.soak
def test_sine_beside_plain_loops() -> None:
    lines = run("sine.py", "--rounds", "1", "--tasks", "1000").splitlines()[4:7]
    names = "this program", "TensorFlow, eager", "TensorFlow, a tf.function per inner step"
    for line, name in zip(lines, names, strict=True):
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        assert cells[0] == name
        assert (cells[2] == "1") == (cells[4] == "1") == (name == names[0])


def test_every_part_of_a_long_run_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a look every 12 of 1000 outer steps, the last one after step 996."""
    benchmark = script(BENCHMARKS / "long_run.py")
    metrics, steps = tmp_path / "metrics.jsonl", iter(range(0, 1000, 12))

    def go_on(_: float) -> None:
        if (step := next(steps, None)) is not None:
            metrics.write_text(f"{metrics.read_text()}{json.dumps({'step': step})}\n")

    ends = iter([None] * 90 + [0])
    metrics.write_text("")
    monkeypatch.setattr(benchmark.time, "sleep", go_on)
    monkeypatch.setattr(benchmark, "moment", lambda pid, run, step: step)
    process = SimpleNamespace(pid=1, poll=lambda: next(ends))
    moments = list(benchmark.watched(process, tmp_path, 1000))
    assert moments == [12, 96, 192, 288, 396, 492, 588, 696, 792, 888, 996]


@pytest.mark.soak
def test_a_long_run_is_watched_from_beginning_to_end() -> None:
    lines = run("long_run.py", "--outer-steps", "1000").splitlines()
    rows = [line.split(" | ") for line in lines if re.match(r"\| [\d,]+ \|", line)]
    steps = [int(row[0].removeprefix("| ").replace(",", "")) for row in rows]
    assert len(steps) >= 2
    assert steps == sorted(steps)
    assert all(float(row[2]) > 100 for row in rows)
