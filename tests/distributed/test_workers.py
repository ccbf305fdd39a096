"""One run by several processes: the same result, one writer, and an end for all of them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import small_workers
from command_line import (
    ROOT,
    SCRIPT,
    TINY,
    Cue,
    Outcome,
    assert_refused,
    call,
    drawn_alphabets,
    execute,
    finish,
    flags,
    saved_state,
    saved_steps,
    started,
    tree,
)
from hypothesis import given
from hypothesis import strategies as st
from small_problem import assert_close

from supervised_reptile.algorithms.workers import ONE_PROCESS, Workers
from supervised_reptile.distributed.tf_config import VARIABLE
from supervised_reptile.networks.conv4 import initial_weights, omniglot_net

# Five tasks, which neither two nor three workers share evenly. By SGD in small steps: Adam divides
# by what rounding makes of small gradients, and large steps let rounding grow.
FIVE = [*TINY, *flags(meta_batch=5, meta_iters=10, eval_interval=2, sgd=True, learning_rate=1e-5)]
LONG = [*FIVE, *flags(meta_iters=400, eval_interval=10, save_interval=10)]


def assert_close_states(one: Path, other: Path) -> None:
    """The newest checkpoints agree up to the order of float32 sums."""
    first, second = saved_state(one), saved_state(other)
    moved = np.abs(
        first["weights"] - initial_weights(omniglot_net((28, 28, 1), way=3), seed=0)
    ).max()
    assert np.abs(first["weights"] - second["weights"]).max() < moved / 100
    for name in ("time", "step"):
        assert first[name] == second[name]


def where(run: Path, factory: pytest.TempPathFactory) -> list[str]:
    return flags(data_dir=drawn_alphabets(factory), checkpoint=run)


def ray_processes(session: int) -> list[str]:
    """Ray's processes that a process of this session started."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "sid=,args="], capture_output=True, text=True, check=True
    ).stdout
    own = (line.split(maxsplit=1) for line in listed.splitlines())
    return [words[1] for words in own if int(words[0]) == session and "ray" in words[1]]


def test_a_killed_worker_is_started_again(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """The run ends by itself, with the weights and the output of one process."""
    alone = call(*LONG, *where(tmp_path / "alone", tmp_path_factory))
    command = [*LONG, *where(tmp_path / "run", tmp_path_factory), *flags(workers=3, threads=1)]
    lines, session = [], {"start_new_session": True}
    with started(*command, **session) as process:
        for line in process.stdout:
            lines.append(line)
            if line.startswith("batch 50:") and lines.count(line) == 1:
                (*_, worker) = pids("ray::RayTrainWorker", process.pid)
                os.kill(worker, signal.SIGKILL)
        code, errors = finish(process)
    assert code == 0, errors
    assert "Traceback" not in errors
    assert "Note: a worker ended; all are started again, from the last checkpoint" in errors
    assert_close_states(tmp_path / "alone", tmp_path / "run")
    assert Outcome(0, "".join(lines), "").accuracies == alone.accuracies
    names = set(tree(tmp_path / "run")) ^ set(tree(tmp_path / "alone"))
    assert all(name.startswith("tensorboard/") for name in names)  # which have times as names
    assert steps(tmp_path / "run") == steps(tmp_path / "alone")
    assert not ray_processes(process.pid)


def pids(name: str, session: int) -> list[int]:
    listed = subprocess.run(
        ["ps", "-A", "-o", "sid=,pid=,args="], capture_output=True, text=True, check=True
    ).stdout
    lines = (line.split(maxsplit=2) for line in listed.splitlines())
    return [int(pid) for sid, pid, words in lines if words.startswith(name)]


def steps(run: Path) -> list[str]:
    """The outer steps at which the run was evaluated."""
    return re.findall(r'"step": (\d+)', (run / "metrics.jsonl").read_text())


def test_terminated_with_more_workers_than_tasks_and_continued_alone(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    one = [*LONG, *flags(meta_batch=1, meta_iters=2000)]
    run = where(tmp_path / "run", tmp_path_factory)
    outcome = execute(*one, *run, *flags(workers=2), cue=Cue("batch", 5, signal.SIGTERM))
    assert outcome.code == 128 + signal.SIGTERM, outcome.err
    *_, step = saved_steps(tmp_path / "run")
    assert step < 2000
    assert f"Interrupted; saved after outer step {step - 1}." in outcome.err
    assert "Traceback" not in outcome.err
    assert call(*flags(resume=True), *run).code == 0
    assert call(*one, *where(tmp_path / "whole", tmp_path_factory)).code == 0
    assert_close_states(tmp_path / "run", tmp_path / "whole")


@pytest.fixture
def cluster() -> Iterator[str]:
    """The address of a Ray cluster of two machines with one CPU each."""
    from ray.cluster_utils import Cluster

    machines = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    try:
        machines.add_node(num_cpus=1)
        machines.wait_for_nodes()
        yield machines.address
    finally:
        machines.shutdown()


def test_a_cluster_of_two_machines(
    cluster: str, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    run = where(tmp_path / "run", tmp_path_factory)
    many = execute(*FIVE, *run, *flags(workers=3, ray_address=cluster))
    assert_refused(many, "--workers 3: the machines have room for 2 of 1 CPU:")
    run = [*run, "--overwrite"]
    outcome = execute(*FIVE, *run, *flags(workers=2, ray_address=cluster))
    assert outcome.code == 0, outcome.err
    alone = call(*FIVE, *where(tmp_path / "alone", tmp_path_factory))
    assert_close_states(tmp_path / "run", tmp_path / "alone")
    assert outcome.out == alone.out


def test_a_cluster_that_is_not_there(data: Path, tmp_path: Path) -> None:
    here = flags(data_dir=data, checkpoint=tmp_path / "run", workers=2)
    outcome = call(*FIVE, *here, "--ray-address", "127.0.0.1:1")
    assert_refused(outcome, "--ray-address 127.0.0.1:1: no Ray cluster answers there")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--task-order", "sequential", "--workers", "2"], "--task-order sequential"),
        (["--workers", "2", "--ray-address", ""], "--ray-address is empty"),
        (["--worker-cpus", "2"], "--worker-cpus is about several workers: give --workers, too"),
        (["--pretrained", "omniglot-5way", "--workers", "2"], "without --workers"),
    ],
)
def test_what_workers_cannot_share_is_refused(given: list[str], says: str, data: Path) -> None:
    assert_refused(call("--data-dir", data, *given), says, code=2)


def listed(count: int) -> list[dict[str, str]]:
    """TF_CONFIG of each of several workers of this machine."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{server.getsockname()[1]}" for server in sockets]
    for server in sockets:
        server.close()
    return [
        {VARIABLE: json.dumps({"cluster": {"worker": addresses}, "task": task})}
        for task in ({"type": "worker", "index": index} for index in range(count))
    ]


def together(commands: Sequence[Sequence[object]]) -> list[subprocess.Popen]:
    """A process for each command, all listed in TF_CONFIG."""
    return [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command, variables in zip(commands, listed(len(commands)), strict=True)
    ]


def test_workers_of_tf_config(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    """As a script under Slurm starts them; if one is killed, the other names it."""
    run = where(tmp_path / "run", tmp_path_factory)
    first, second = together([[SCRIPT, *LONG, *flags(meta_iters=100_000), *run]] * 2)
    try:
        for line in first.stdout:
            if line.startswith("batch 120:"):  # a run this long is evaluated every 120 steps
                second.kill()
                break
        _, errors = first.communicate(timeout=240)
    finally:
        first.kill()
        second.kill()
    assert first.returncode == 1, errors
    assert "Traceback" not in errors
    assert "Error: worker 1 of TF_CONFIG has ended or no longer answers" in errors
    assert second.communicate()[0] == ""
    assert saved_steps(tmp_path / "run")


def test_workers_that_are_told_different_things(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    command = [SCRIPT, *FIVE, *where(tmp_path / "run", tmp_path_factory)]
    processes = together([command, [*command, "--seed", 1]])
    for process in processes:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 1
        assert "Error: the workers' settings, images or classes are not all the same" in errors
    assert not saved_steps(tmp_path / "run")


@pytest.mark.parametrize("text", ["{", '{"cluster": {"worker": ["a:1", "b:1"]}}', "[1]"])
def test_a_tf_config_that_cannot_be_read(
    text: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, text)
    outcome = call(*FIVE, "--data-dir", data)
    assert_refused(outcome, f"the environment variable {VARIABLE}: it should look like")


def test_every_algorithm_by_three_workers(tmp_path: Path) -> None:
    """In float64, where what remains of the order of summation is far below any other mistake."""
    program = ROOT / "tests" / "helpers" / "small_workers.py"
    for process in together([[program, tmp_path / "ends.npz"]] * 3):
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
    single = small_workers.train(ONE_PROCESS)
    with np.load(tmp_path / "ends.npz") as ends:
        assert set(ends) == set(single)
        for name, end in single.items():
            assert_close(ends[name], end, err_msg=name)


@given(count=st.integers(0, 40), size=st.integers(1, 12))
def test_shares_are_all_there_is_and_as_equal_as_can_be(count: int, size: int) -> None:
    shares = [Workers(rank, size).share(count) for rank in range(size)]
    assert [task for share in shares for task in share] == list(range(count))
    lengths = {len(share) for share in shares}
    assert max(lengths) - min(lengths) <= 1
