"""Sweeps as people run them: with Ray, interrupted in every way, and on a cluster of two nodes."""

from __future__ import annotations

import contextlib
import csv
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import command_line
import pytest
from command_line import (
    ROOT,
    Outcome,
    assert_refused,
    assert_same_state,
    call,
    flags,
    importable,
    saved_steps,
    tree,
    wait_for,
)

from supervised_reptile.cli.main import reptile
from supervised_reptile.distributed.ray_cluster import ENVIRONMENT

pytest.importorskip("ray", reason="the extra [sweep] is not installed")
pytest.importorskip("cmaes", reason="the extra [sweep] is not installed")

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
eval-interval = 100
save-interval = 20
val-classes = 10
transductive = true
"""


def written(path: Path, search: str, space: str) -> Path:
    path.write_text(f"[search]\n{search}\n[space]\n{space}\n[fixed]{FIXED}")
    return path


def started(*words: object) -> contextlib.AbstractContextManager[subprocess.Popen]:
    """A running `reptile sweep` in a process group of its own; ended with the block."""
    return command_line.started(
        *words, program=("-m", "supervised_reptile", "sweep"), stderr=subprocess.STDOUT,
        cwd=ROOT, env={**os.environ, **ENVIRONMENT}, start_new_session=True,
    )  # fmt: skip


def execute(*words: object) -> Outcome:
    """`reptile sweep` to its end."""
    with started(*words) as process:
        shown = process.stdout.read()
        return Outcome(process.wait(), shown, "")


def leaderboard(out: Path) -> list[dict[str, str]]:
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
    """How often a trial began to train."""
    log = out / "trials" / f"{number:03d}.log"
    return log.read_text().count("Training...")


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """TMPDIR, a directory whose name is short enough for Ray."""
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


def test_a_sweep_killed_then_interrupted(data: Path, tmp_path: Path, temporary: Path) -> None:
    """A short trial ends; a longer one is killed, interrupted on other data's path, and ends."""
    out = tmp_path / "sweep"
    space = "learning-rate = [0.003]\nmeta-iters = [20, 600]"
    file = written(tmp_path / "space.toml", 'method = "grid"', space)
    words = (file, "--data-dir", data, "--out", out, "--jobs", 1)
    short, long = (out / "trials" / name for name in ("000", "001"))

    with started(*words) as process:
        wait_for(lambda: saved_steps(long), "the second trial trains")
        process.kill()  # nobody is left to end the trial, and Ray, but they themselves
        process.stdout.read()
    first = tree(short)

    data = shutil.copytree(data, tmp_path / "moved")
    words = (file, "--data-dir", data, "--out", out, "--jobs", 1, "--resume")
    with started(*words) as process:
        wait_for(lambda: trainings(out, 1) == 2, "the second trial trains again")
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        shown = process.stdout.read()
        assert process.wait() == 130, shown
    assert shown.endswith("Interrupted; continue with --resume\n")
    assert "Traceback" not in shown
    assert [row["state"] for row in leaderboard(out)] == ["finished", "unfinished"]

    outcome = execute(*words)
    assert outcome.code == 0, outcome.out
    for line in (line for line in outcome.out.splitlines() if "run_omniglot.py" in line):
        assert f"--data-dir {data}" in line
    assert tree(short) == first
    assert [trainings(out, number) for number in (0, 1)] == [1, 3]
    assert [row["state"] for row in leaderboard(out)] == ["finished", "finished"]
    assert_same_state(
        long, run_alone(data, tmp_path / "alone", learning_rate=0.003, meta_iters=600)
    )
    assert len(list(temporary.glob("ray-*"))) == 1  # of the sweep that was killed


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Ray on two simulated nodes with a CPU each, on the loopback interface."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 80 * 2**20}
    head = {**node, "include_dashboard": False}
    nodes = Cluster(initialize_head=True, connect=False, head_node_args=head)
    try:
        nodes.add_node(**node)
        yield nodes
    finally:
        nodes.shutdown()


def test_a_node_dies_and_a_trial_fails(data: Path, tmp_path: Path, cluster) -> None:
    """The node's trial goes on from its checkpoint on the other one; the failure stops nothing."""
    out = tmp_path / "sweep"
    space = "learning-rate = [0.001, 0.003, 1e30]\nsgd = [true]\nmeta-iters = [600]"
    file = written(tmp_path / "space.toml", 'method = "grid"', space)
    (worker,) = cluster.worker_nodes
    where = ("--data-dir", data, "--out", out, "--ray-address", cluster.address)
    with started(file, *where) as process:
        runs = [out / "trials" / name for name in ("000", "001")]
        wait_for(lambda: all(map(saved_steps, runs)), "both trials train")
        cluster.remove_node(worker, allow_graceful=False)
        shown = process.stdout.read()
        assert process.wait() == 1, shown
    assert "Traceback" not in shown
    assert sorted(trainings(out, number) for number in (0, 1)) == [1, 2]
    (failure,) = (line for line in shown.splitlines() if line.startswith("Trial 002 failed: "))
    assert "the loss diverged" in failure
    assert "Error: trials failed: 002" in shown
    assert sorted(row["state"] for row in leaderboard(out)) == ["failed", "finished", "finished"]
    for number, rate in enumerate((0.001, 0.003)):
        values = {"learning_rate": rate, "sgd": True, "meta_iters": 600}
        assert_same_state(runs[number], run_alone(data, tmp_path / str(number), **values))


@pytest.mark.usefixtures("temporary")
def test_early_stopping_spares_what_is_worse(data: Path, tmp_path: Path) -> None:
    """Nothing is learned with a learning rate of 0; one good trial before it is enough."""
    search = 'method = "grid"\nearly-stopping = "asha"\ngrace = 0.1'
    space = "learning-rate = [0.003, 0.0]\nmeta-iters = [1200]\nlook-episodes = [10]"
    file, out = written(tmp_path / "space.toml", search, space), tmp_path / "sweep"
    outcome = execute(file, "--data-dir", data, "--out", out, "--jobs", 1)
    assert outcome.code == 0, outcome.out
    good, bad = leaderboard(out)
    assert (good["trial"], good["state"]) == ("0", "finished")
    assert (bad["trial"], bad["state"]) == ("1", "stopped early")
    assert 120 <= int(bad["outer_steps"]) < 1200


def test_another_sweep_is_not_resumed(data: Path, tmp_path: Path) -> None:
    """The answer names what differs: settings, images, or how they are divided."""
    from supervised_reptile.sweep.run_sweep import _check
    from supervised_reptile.sweep.space import Sweep, read_space
    from supervised_reptile.system.atomic_files import write_json

    images, out = importable(data, tmp_path / "images"), tmp_path / "out"
    search, space = 'method = "grid"\ncommand = "train"', "meta-iters = [20, 600]"
    file = written(tmp_path / "space.toml", search, space)
    file.write_text(file.read_text().replace("val-classes = 10\n", ""))
    out.mkdir()
    sweep = Sweep(read_space(file), str(images), out, 2, 1, 1, 0.0, None)
    write_json(out / "sweep.json", _check(sweep, resume=False))
    words = ("--data-dir", images, "--out", out, "--resume")
    for old, new, difference in (
        ("[20, 600]", "[20, 1600]", "meta-iters was [20, 600], is [20, 1600]"),
        ("600]", "600]\nsgd = [true]", "sgd was not given, is [True]"),
        ("shots = 1", "shots = 2", "shots was 1, is 2"),
        ("[search]", "[search]\nseed = 1", "[search] seed was not given, is 1"),
        ("[20, 600]", "[20, 600, 30]", "--trials was 2, is 3"),
    ):
        changed = tmp_path / "changed.toml"
        changed.write_text(file.read_text().replace(old, new, 1))
        outcome = call("sweep", changed, *words, command=reptile)
        assert_refused(outcome, f"{out} holds another sweep: ", difference)
    one = next(images.glob("train/*/"))
    one.rename(images / "val" / one.name)
    assert_refused(call("sweep", file, *words, command=reptile), "split of images was")
    (images / "val" / one.name).rename(one)
    next(one.glob("*.png")).unlink()
    assert_refused(
        call("sweep", file, *words, command=reptile), f"{out} holds another sweep: images was"
    )
    (out / "sweep.json").write_text("[")
    assert_refused(call("sweep", file, *words, command=reptile), "sweep.json: not readable")


def test_ray_cannot_start(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cluster answers, or its sockets' directory has too long a name."""
    file = written(tmp_path / "space.toml", 'method = "grid"', "meta-step = [0.5, 1.0]")
    words = (file, "--data-dir", data, "--out", tmp_path / "out")
    with socket.socket() as unused:  # bound, but it does not listen
        unused.bind(("127.0.0.1", 0))
        for scheme in ("", "ray://"):
            address = f"{scheme}127.0.0.1:{unused.getsockname()[1]}"
            outcome = call("sweep", *words, "--ray-address", address, command=reptile)
            assert_refused(outcome, address, "no Ray cluster")
    long = tmp_path / ("long" * 30)
    long.mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(long))
    outcome = call("sweep", *words, command=reptile)
    assert_refused(outcome, str(long), "too long for Ray's sockets")
