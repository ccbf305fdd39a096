"""Sweeps as people run them: with Ray, interrupted in every way, and on a cluster of two nodes."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import os
import re
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
    DRAWN,
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
from supervised_reptile.data.glyphs.draw_alphabets import write_glyphs
from supervised_reptile.sweep.cluster import OWN
from supervised_reptile.sweep.identity import check_sweep
from supervised_reptile.sweep.space_file import read_space
from supervised_reptile.sweep.trials import Plan

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
eval-interval = 100
save-interval = 20
val-classes = 10
transductive = true
"""


def written(path: Path, search: str, space: str) -> Path:
    path.write_text(f"[search]\n{search}\n[space]\n{space}\n[fixed]{FIXED}")
    return path


def environment() -> dict[str, str]:
    """Ray stays on the loopback interface, also where it is given an address."""
    return {**os.environ, **OWN}


def started(*words: object) -> contextlib.AbstractContextManager[subprocess.Popen]:
    """A running `reptile sweep` in a process group of its own; ended with the block."""
    return command_line.started(
        *words, program=("-m", "supervised_reptile", "sweep"), stderr=subprocess.STDOUT,
        cwd=ROOT, env=environment(), start_new_session=True,
    )  # fmt: skip


def execute(*words: object) -> Outcome:
    """`reptile sweep` to its end."""
    with started(*words) as process:
        shown = process.stdout.read()
        return Outcome(process.wait(), shown, "")


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


def other_drawings(folder: Path) -> Path:
    write_glyphs(folder, dataclasses.replace(DRAWN, seed=6), workers=1)
    return folder


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """TMPDIR, a folder whose name is short enough for Ray."""
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


def test_a_sweep_killed_then_interrupted(data: Path, tmp_path: Path, temporary: Path) -> None:
    """One after the other: a short trial ends; a longer one is killed, interrupted, and ends.

    Meanwhile the data move, and the sweep forgets their checksum, as older versions did.
    """
    out = tmp_path / "sweep"
    space = "learning-rate = [0.003]\nmeta-iters = [20, 1500]"
    file = written(tmp_path / "space.toml", 'method = "grid"', space)
    words = (file, "--data-dir", data, "--out", out, "--jobs", 1)
    short, long = (out / "trials" / name for name in ("000", "001"))

    with started(*words) as process:
        assert process.stdout.readline().startswith("trial 000 finished: ")
        wait_for(lambda: saved_steps(long), "the second trial trains")
        process.kill()  # nobody is left to end the trial, and Ray, but they themselves
        assert not process.stdout.read()
    first = tree(short)

    others = other_drawings(tmp_path / "others")
    again = ("--data-dir", others, "--out", out, "--resume")
    refusal = f"{others}: the images are not those that the sweep in {out} was started with"
    assert_refused(call("sweep", file, *again, command=reptile), refusal)
    changed = tmp_path / "changed.toml"
    for old, new, difference in (
        ("[20, 1500]", "[20, 1600]", "meta-iters was [20, 1500], is [20, 1600]"),
        ("[0.003]", "[0.003]\nsgd = [true]", "sgd was not given, is [true]"),
        ("shots = 1", "shots = 2", "shots was 1, is 2"),
        ("[fixed]", "[fixed]\nseed = 1", "seed was not given, is 1"),
        ("[search]", "[search]\nseed = 1", "[search] seed was 0, is 1"),
        (
            "[search]",
            '[search]\nearly-stopping = "asha"',
            'early-stopping was not given, is "asha"',
        ),
        ("[search]", '[search]\ncommand = "train"', 'command was "omniglot", is "train"'),
    ):
        text = file.read_text().replace(old, new, 1)
        changed.write_text(text.replace("val-classes = 10", "") if "train" in new else text)
        outcome = call("sweep", changed, *again, command=reptile)
        assert_refused(outcome, f"{out} holds a sweep of another space: ", difference)

    data = shutil.copytree(data, tmp_path / "moved")
    file.write_text(file.read_text().replace("save-interval = 20", "save-interval = 10"))
    words = (file, "--data-dir", data, "--out", out, "--jobs", 1)
    with started(*words, "--resume") as process:
        wait_for(lambda: trainings(out, 1) == 2, "the second trial trains again")
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        shown = process.stdout.read()
        assert process.wait() == 130, shown
    assert "--resume" in shown
    assert "Traceback" not in shown
    log = (out / "trials" / "001.log").read_text()
    assert "saved after outer step" in log.splitlines()[-1]
    assert [row["state"] for row in board(out)] == ["finished", "unfinished"]

    (out / "data.json").unlink()
    assert_refused(call("sweep", file, *again, command=reptile), refusal)
    outcome = execute(*words, "--resume")
    assert outcome.code == 0, outcome.out
    note, ended = outcome.out.splitlines()[:2]
    assert note.startswith("Note: ")
    assert "older version" in note
    assert "its 2 trials ran on these" in note
    assert ended.startswith("trial 001 finished: ")
    assert_refused(call("sweep", file, *again, command=reptile), refusal)
    for line in (line for line in outcome.out.splitlines() if "run_omniglot.py" in line):
        assert f"--data-dir {data}" in line
    assert tree(short) == first
    assert trainings(out, 0) == 1  # not run again
    assert trainings(out, 1) == 3
    assert [row["state"] for row in board(out)] == ["finished", "finished"]
    alone = run_alone(data, tmp_path / "alone", learning_rate=0.003, meta_iters=1500)
    assert_same_state(long, alone)
    assert not (out / "ray").exists()
    assert len(list(temporary.iterdir())) == 1  # of the one that was killed


@pytest.mark.usefixtures("temporary")
def test_own_images_that_change_before_a_trial_ends(data: Path, tmp_path: Path) -> None:
    """Their checksum is stored before the first trial starts."""
    images, out = importable(data, tmp_path / "images"), tmp_path / "sweep"
    file = written(
        tmp_path / "space.toml", 'method = "grid"\ncommand = "train"', "meta-iters = [1500]"
    )
    file.write_text(file.read_text().replace("val-classes = 10\n", ""))
    words = (file, "--data-dir", images, "--out", out)
    with started(*words, "--jobs", 1):
        wait_for((out / "sweep.json").exists, "the sweep starts")
    one = next(images.glob("train/*/"))
    one.rename(images / "val" / one.name)
    refusal = f"{images}: the images are not those that the sweep in {out} was started with"
    assert_refused(call("sweep", *words, "--resume", command=reptile), refusal)
    (images / "val" / one.name).rename(one)
    next(one.glob("*.png")).unlink()
    assert_refused(call("sweep", *words, "--resume", command=reptile), refusal)
    shutil.rmtree(images)
    assert_refused(call("sweep", *words, "--resume", command=reptile), str(images))


def test_seeds_that_draw_other_classes(data: Path, tmp_path: Path) -> None:
    """Trials on different validation classes cannot be ranked; divided images are the same."""
    out, images = tmp_path / "sweep", importable(data, tmp_path / "images")
    file = written(tmp_path / "space.toml", 'method = "grid"', "seed = [0, 1]")
    outcome = call("sweep", file, "--data-dir", data, "--out", out, command=reptile)
    assert_refused(outcome, f"seed draws other validation classes from {data}")
    assert not out.exists()
    file = written(file, 'method = "random"\ncommand = "train"', "seed = { int = [0, 9] }")
    file.write_text(file.read_text().replace("val-classes = 10\n", ""))
    check_sweep(Plan(read_space(file), str(images), out, 2, 1, 1, 0.0, None), resume=False)


def test_a_long_folder_for_ray(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that somebody chose for it; TMPDIR is not meant for it alone."""
    long = tmp_path / ("long" * 30)
    monkeypatch.setenv("RAY_TMPDIR", str(long))
    file = written(tmp_path / "space.toml", 'method = "grid"', "meta-step = [0.5, 1.0]")
    outcome = call("sweep", file, "--data-dir", data, "--out", tmp_path / "out", command=reptile)
    assert_refused(outcome, f"RAY_TMPDIR={long} is too long")
    monkeypatch.setenv("HOME", str(long))
    monkeypatch.setenv("RAY_TMPDIR", "~/ray")
    outcome = call("sweep", file, "--data-dir", data, "--out", tmp_path / "out", command=reptile)
    assert_refused(outcome, f"RAY_TMPDIR={long / 'ray'} is too long")


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_without_a_cluster(data: Path, tmp_path: Path, scheme: str) -> None:
    file = written(tmp_path / "space.toml", 'method = "grid"', "meta-step = [0.5, 1.0]")
    with socket.socket() as unused:  # bound, but it does not listen
        unused.bind(("127.0.0.1", 0))
        address = f"{scheme}127.0.0.1:{unused.getsockname()[1]}"
        words = (file, "--data-dir", data, "--out", tmp_path / "out", "--address", address)
        outcome = call("sweep", *words, command=reptile)
    assert_refused(outcome, address, "no Ray cluster")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Ray on two simulated nodes with a CPU each, on the loopback interface."""
    for name, value in OWN.items():
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
    with started(file, "--data-dir", data, "--out", out, "--address", cluster.address) as process:
        runs = [out / "trials" / name for name in ("000", "001")]
        wait_for(lambda: all(map(saved_steps, runs)), "both trials train")
        cluster.remove_node(worker, allow_graceful=False)
        shown = process.stdout.read()
        assert process.wait() == 1, shown
    assert "lost its worker" in shown
    assert "Traceback" not in shown
    assert sorted(trainings(out, number) for number in (0, 1)) == [1, 2]
    failure = re.search(r"trial 002 failed.*\n((    .*\n)+)", shown)
    assert "the loss diverged" in failure[1]
    assert "Error: trials failed: 002" in shown
    assert sorted(row["state"] for row in board(out)) == ["failed", "finished", "finished"]
    assert (out / "objective.png").exists()
    for number, rate in enumerate((0.001, 0.003)):
        values = {"learning_rate": rate, "sgd": True, "meta_iters": 600}
        assert_same_state(runs[number], run_alone(data, tmp_path / str(number), **values))


def test_early_stopping_spares_what_is_worse(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is learned with a learning rate of 0; one good trial before it is enough.

    TMPDIR is as long as batch systems have it.
    """
    long = tmp_path / ("long" * 30)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    out = tmp_path / "sweep"
    search = 'method = "grid"\nearly-stopping = "asha"\ngrace = 0.1'
    space = "learning-rate = [0.003, 0.0]\nmeta-iters = [1200]\nlook-episodes = [10]"
    file = written(tmp_path / "space.toml", search, space)
    outcome = execute(file, "--data-dir", data, "--out", out, "--jobs", 1)
    assert outcome.code == 0, outcome.out
    good, bad = board(out)
    assert (good["trial"], good["state"]) == ("0", "finished")
    assert (bad["trial"], bad["state"]) == ("1", "stopped early")
    assert 120 <= int(bad["outer_steps"]) < 1200
    assert saved_steps(out / "trials" / "001")  # it could be continued by hand
    assert "stopped early after" in outcome.out
