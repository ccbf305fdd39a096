"""The benchmarks run; what they measure is not judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def run(*arguments: str) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


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


@pytest.mark.parametrize("gigabytes", ["0.5"])
def test_a_store_that_is_not_resident(gigabytes: str) -> None:
    lines = run("large_store.py", "--gigabytes", gigabytes, "--rounds", "1").splitlines()
    assert [line.split(":")[0] for line in lines] == ["0.14 GB", "0.5 GB", "resident memory"]


def test_every_benchmark_says_what_it_does() -> None:
    for script in ("run.py", "scaling.py", "looks.py", "large_store.py"):
        assert f"python benchmarks/{script}" in run(script, "--help")
