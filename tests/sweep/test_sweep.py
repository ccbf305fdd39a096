"""Sweeps as people run them: with Ray, interrupted in every way, and on a cluster of two nodes."""

from __future__ import annotations

import contextlib
import csv
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import PATIENCE, ROOT, Outcome, assert_same_state, call, flags, saved_steps

pytest.importorskip("ray", reason="the extra [sweep] is not installed")
pytest.importorskip("optuna", reason="the extra [sweep] is not installed")

# A trial of a few seconds, of which as little as possible goes into evaluation.
FIXED = """
classes = 3
shots = 1
train-shots = 5
inner-batch = 5
inner-iters = 2
meta-batch = 2
eval-samples = 20
eval-iters = 3
eval-interval = 10
save-interval = 20
val-classes = 10
transductive = true
"""


def written(path: Path, search: str, space: str, steps: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    fixed = f"{FIXED}meta-iters = {steps}"
    path.write_text(f"[search]\n{search}\n[space]\n{space}\n[fixed]{fixed}\n")
    return path


def environment() -> dict[str, str]:
    """Ray stays on the loopback interface, also where it is given an address."""
    return {**os.environ, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


@contextlib.contextmanager
def started(*words: object) -> Iterator[subprocess.Popen]:
    """A running `reptile sweep` in a process group of its own; ended with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "supervised_reptile", "sweep", *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, env=environment(),
        start_new_session=True,
    )  # fmt: skip
    watchdog = threading.Timer(PATIENCE, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        process.stdout.close()


def execute(*words: object) -> Outcome:
    """`reptile sweep` to its end."""
    with started(*words) as process:
        shown = process.stdout.read()
        return Outcome(process.wait(), shown, "")


def wait_for(condition, what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def board(out: Path) -> list[dict[str, str]]:
    with (out / "leaderboard.csv").open() as file:
        return list(csv.DictReader(file))


def run_alone(data: Path, path: Path, **more: object) -> Path:
    """The run that a trial is to equal, from one command without a sweep."""
    fixed = dict(line.split(" = ") for line in FIXED.strip().splitlines()) | {"transductive": True}
    words = flags(**{name.replace("-", "_"): value for name, value in fixed.items()}, **more)
    outcome = call(*words, *flags(data_dir=data, checkpoint=path, eval_splits="val"))
    assert outcome.code == 0, outcome.err
    return path


def trainings(out: Path, number: int) -> int:
    """How often the process of a trial began to train."""
    log = out / "trials" / f"{number:03d}.log"
    return log.read_text().count("Training...")


def test_a_sweep_killed_interrupted_and_with_a_failing_trial(data: Path, tmp_path: Path) -> None:
    """One trial at a time: the first finishes; the second is killed, then interrupted, then ends;
    the third diverges."""
    out = tmp_path / "sweep"
    space = "learning-rate = [0.001, 0.003, 1e30]\nsgd = [true]"
    file = written(tmp_path / "space.toml", 'method = "grid"', space, steps=500)
    words = (file, "--data-dir", data, "--out", out, "--jobs", 1)
    second = out / "trials" / "001"

    with started(*words) as process:
        wait_for(lambda: len(saved_steps(second)) > 1, "the second trial trains")
        os.killpg(process.pid, signal.SIGKILL)
        shown = process.stdout.read()
    assert "trial 000 finished" in shown
    assert "trial 001" not in shown
    first = (out / "trials" / "000.log").read_bytes()

    with started(*words, "--resume") as process:
        wait_for(lambda: trainings(out, 1) == 2, "the second trial trains again")
        time.sleep(1)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        shown = process.stdout.read()
        assert process.wait() == 130, shown
    assert "--resume" in shown
    assert "Traceback" not in shown
    log = (out / "trials" / "001.log").read_text()
    assert "saved after outer step" in log.splitlines()[-1]

    outcome = execute(*words, "--resume")
    assert outcome.code == 1, outcome.out
    assert "Traceback" not in outcome.out
    assert (out / "trials" / "000.log").read_bytes() == first  # not run again
    assert trainings(out, 1) == 3
    assert re.search(r"trial 002 failed.*\n.*the loss diverged", outcome.out)
    assert "Error: trials failed: 002" in outcome.out
    assert [row["state"] for row in board(out)] == ["finished", "finished", "failed"]
    assert (out / "objective.png").exists()
    for number, rate in enumerate((0.001, 0.003)):
        alone = run_alone(
            data, tmp_path / str(number), learning_rate=rate, sgd=True, meta_iters=500
        )
        assert_same_state(out / "trials" / f"{number:03d}", alone)
    assert not (out / "ray").exists()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Ray on two simulated nodes with a CPU each, on the loopback interface."""
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 80 * 2**20}
    head = {**node, "include_dashboard": False}
    nodes = Cluster(initialize_head=True, connect=False, head_node_args=head)
    try:
        nodes.add_node(**node)
        yield nodes
    finally:
        nodes.shutdown()


def test_a_node_dies_during_a_sweep(data: Path, tmp_path: Path, cluster) -> None:
    """Its trial goes on from its checkpoint on the other node, and nothing is lost."""
    out = tmp_path / "sweep"
    file = written(tmp_path / "space.toml", 'method = "grid"', "meta-step = [0.5, 1.0]", steps=900)
    (worker,) = cluster.worker_nodes
    with started(file, "--data-dir", data, "--out", out, "--address", cluster.address) as process:
        runs = [out / "trials" / name for name in ("000", "001")]
        wait_for(lambda: all(map(saved_steps, runs)), "both trials train")
        cluster.remove_node(worker, allow_graceful=False)
        shown = process.stdout.read()
        assert process.wait() == 0, shown
    assert "lost its worker" in shown
    assert sorted(trainings(out, number) for number in (0, 1)) == [1, 2]
    assert [row["state"] for row in board(out)] == ["finished", "finished"]
    for number, size in enumerate((0.5, 1.0)):
        alone = run_alone(data, tmp_path / str(number), meta_step=size, meta_iters=900)
        assert_same_state(out / "trials" / f"{number:03d}", alone)


def test_early_stopping_spares_what_is_worse(data: Path, tmp_path: Path) -> None:
    """Nothing is learned with a learning rate of 0; one good trial before it is enough."""
    out = tmp_path / "sweep"
    search = 'method = "grid"\nearly-stopping = "asha"\ngrace = 0.2'
    space = "learning-rate = [0.003, 0.0]"
    file = written(tmp_path / "space.toml", search, space, steps=3000)
    outcome = execute(file, "--data-dir", data, "--out", out, "--jobs", 1)
    assert outcome.code == 0, outcome.out
    good, bad = board(out)
    assert (good["trial"], good["state"]) == ("0", "finished")
    assert (bad["trial"], bad["state"]) == ("1", "stopped early")
    assert 600 <= int(bad["outer_steps"]) < 2000
    assert saved_steps(out / "trials" / "001")  # it could be continued by hand
