"""One run by several processes: the same result, one writer, and an end for all of them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
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
    launcher,
    saved_state,
    saved_steps,
    started,
    tree,
)
from hypothesis import given
from hypothesis import strategies as st
from small_problem import assert_close

from supervised_reptile.algorithms.worker_group import ALONE, Group
from supervised_reptile.config import Config
from supervised_reptile.distributed.private_network import leave_network
from supervised_reptile.errors import UserError
from supervised_reptile.system.rendezvous import PATIENCE_VARIABLE
from supervised_reptile.system.tf_config import VARIABLE, write_cluster
from supervised_reptile.training.worker_agreement import tell

# Five tasks, which neither two nor three workers share evenly; ten steps, because sooner or later
# an input of a ReLU near 0 falls on its other side by rounding alone, and Adam makes that visible.
FIVE = [*TINY, *flags(meta_batch=5, meta_iters=10, eval_interval=2)]
# Without Adam, which makes of a rounding error what it divides it by.
LONG = [*FIVE, *flags(meta_iters=60, eval_interval=10, save_interval=50, sgd=True)]


def assert_close_states(one: Path, other: Path) -> None:
    """The newest checkpoints agree up to the order of float32 sums."""
    first, second = saved_state(one), saved_state(other)
    for name in ("weights", "second_moment"):
        np.testing.assert_allclose(first[name], second[name], atol=1e-5, rtol=0)
    for name in ("time", "step"):
        assert first[name] == second[name]


def place(run: Path, factory: pytest.TempPathFactory) -> list[str]:
    return flags(data_dir=drawn_alphabets(factory), checkpoint=run)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """FIVE in one process."""
    run = tmp_path_factory.mktemp("alone") / "run"
    return run, call(*FIVE, *place(run, tmp_path_factory))


def test_two_workers_end_where_one_process_ends(
    alone: tuple[Path, Outcome], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """And the run directory, what is printed and the accuracies are the same."""
    path, single = alone
    outcome = execute(*FIVE, *place(tmp_path / "run", tmp_path_factory), workers=2)
    assert outcome.code == single.code == 0, outcome.err
    assert_close_states(path, tmp_path / "run")
    assert np.abs(saved_state(path)["weights"] - initial_weights(path)).max() > 1e-3
    assert outcome.out == single.out
    assert len(outcome.looks) == 5
    assert set(tree(tmp_path / "run")) - tensorboard(tmp_path / "run") == (
        set(tree(path)) - tensorboard(path)
    )
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == (path / "metrics.jsonl").read_text()
    assert not messages(outcome.err)


def messages(errors: str) -> list[str]:
    """Lines of standard error but for what a worker says where others are late."""
    return [line for line in errors.splitlines() if " waits for worker " not in line]


def initial_weights(run: Path) -> np.ndarray:
    from supervised_reptile.networks.conv4 import initial_weights, omniglot_net

    return initial_weights(omniglot_net((28, 28, 1), way=3), seed=0)


def tensorboard(run: Path) -> set[str]:
    """Files that have the time and the process in their names."""
    return {name for name in tree(run) if name.startswith("tensorboard/")}


def test_killed_with_three_workers_and_continued_with_two(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """And alone, from the same checkpoint: over many steps other sums become other weights."""
    run, where = tmp_path / "run", place(tmp_path / "run", tmp_path_factory)
    with started(*LONG, *where, workers=3) as process:
        workers = []
        for line in process.stdout:
            if line.startswith("batch 50:"):
                workers = children(process.pid)
                os.kill(workers[2], signal.SIGKILL)
        code, errors = finish(process)
    assert code == 1
    assert len(workers) == 3, errors
    assert not any(map(is_running, workers))
    assert "Traceback" not in errors
    gone, ended = messages(errors)
    assert re.match(r"Error: worker 2 \(127\.0\.0\.1:\d+\) has ended or no longer answers", gone)
    assert "--resume" in gone
    assert ended == "worker 2 was ended by SIGKILL"
    assert saved_steps(run) == [50]
    alone = shutil.copytree(run, tmp_path / "alone")
    assert call(*flags(resume=True), *place(alone, tmp_path_factory)).code == 0
    outcome = execute(*flags(resume=True), *where, workers=2)
    assert outcome.code == 0, outcome.err
    assert_close_states(alone, run)
    assert saved_steps(run)[-1] == 60
    assert steps(run) == steps(alone) == [str(step) for step in range(0, 60, 10)]


def steps(run: Path) -> list[str]:
    """The steps at which the accuracy was looked at."""
    return re.findall(r'"step": (\d+)', (run / "metrics.jsonl").read_text())


def children(process: int) -> list[int]:
    """A process's children, oldest first."""
    listed = Path(f"/proc/{process}/task/{process}/children").read_text()
    return sorted(map(int, listed.split()))


def is_running(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


def test_terminated_with_more_workers_than_tasks_and_continued_alone(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    one = [*LONG, *flags(meta_batch=1, meta_iters=1000)]
    run, where = tmp_path / "run", place(tmp_path / "run", tmp_path_factory)
    outcome = execute(*one, *where, cue=Cue("batch", 5, signal.SIGTERM), workers=2)
    assert outcome.code == 128 + signal.SIGTERM
    *_, step = saved_steps(run)
    assert step < 1000
    assert f"Interrupted; saved after outer step {step - 1}." in outcome.err
    assert "Traceback" not in outcome.err
    assert call(*flags(resume=True), *where).code == 0
    whole = tmp_path / "whole"
    assert call(*one, *place(whole, tmp_path_factory)).code == 0
    assert_close_states(run, whole)


def test_workers_that_are_told_different_things(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """The chief, in its own words, says who has ended."""
    where = place(tmp_path / "run", tmp_path_factory)
    differing = 'case "$TF_CONFIG" in *\'"index": 1\'*) set -- "$@" --seed 1;; esac; exec "$@"'
    command = ["sh", "-c", differing, "sh", sys.executable, str(SCRIPT), *FIVE, *where]
    words = [sys.executable, *launcher(2), *command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1
    assert "Error: worker 1 (127.0.0.1:" in done.stderr
    contradiction = "worker 1: Error: the flags contradict the chief's: --seed is 0 there and 1"
    assert contradiction in done.stderr
    assert "Traceback" not in done.stderr
    assert not saved_steps(tmp_path / "run")


ADDRESSES = ("127.0.0.1:2222", "127.0.0.1:2223")


@pytest.mark.parametrize("rank", [0, 1])
def test_a_worker_whose_other_never_comes(rank: int, data: Path, tmp_path: Path) -> None:
    cluster = {VARIABLE: write_cluster(ADDRESSES, rank), PATIENCE_VARIABLE: "0.5"}
    outcome = by_itself(cluster, *FIVE, *flags(data_dir=data, checkpoint=tmp_path / "run"))
    waited = f"worker {rank} ({ADDRESSES[rank]}) waited 0.5 s ({PATIENCE_VARIABLE})"
    assert_refused(outcome, f"{waited} for worker {1 - rank} ({ADDRESSES[1 - rank]}):")
    assert not (tmp_path / "run").exists()


def test_a_worker_whose_port_is_taken(data: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        own = f"127.0.0.1:{server.getsockname()[1]}"
        cluster = {VARIABLE: write_cluster((own, "127.0.0.1:1"), 0)}
        where = flags(data_dir=data, checkpoint=tmp_path / "run")
        outcome = by_itself(cluster, *FIVE, *where, network=lambda: None)
    assert_refused(outcome, f"worker 0 ({own}) cannot listen on its port (Address already in use)")


def by_itself(
    variables: Mapping[str, str], *arguments: str, network: Callable[[], object] = leave_network
) -> Outcome:
    """`run_omniglot.py` as a worker of a cluster, in a network of its own."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=240,
        preexec_fn=network,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def test_every_algorithm_by_a_grid_of_workers(tmp_path: Path) -> None:
    """In float64, where what remains of the order of summation is far below any other mistake."""
    words = [sys.executable, *launcher(4), str(ROOT / "tests" / "helpers" / "small_workers.py")]
    done = subprocess.run(
        [*words, str(tmp_path / "ends.npz")], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    single = small_workers.train(ALONE)
    with np.load(tmp_path / "ends.npz") as together:
        assert set(together) == set(single)
        for name, end in single.items():
            assert_close(together[name], end, err_msg=name)


def test_tasks_one_after_the_other_cannot_be_shared() -> None:
    config = Config(task_order="sequential")
    assert tell(config, ALONE) == config
    with pytest.raises(UserError, match="--task-order sequential"):
        tell(config, Group(0, 2))


@given(count=st.integers(0, 40), size=st.integers(1, 12))
def test_shares_are_all_there_is_and_as_equal_as_can_be(count: int, size: int) -> None:
    shares = [Group(rank, size).share(count) for rank in range(size)]
    assert [task for share in shares for task in share] == list(range(count))
    lengths = {len(share) for share in shares}
    assert max(lengths) - min(lengths) <= 1


LISTENER = """
import socket
from supervised_reptile.distributed.private_network import leave_network
print(leave_network())
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    with socket.create_connection(server.getsockname()):
        print("reached", flush=True)
    input()
"""


def test_nobody_outside_reaches_a_network_of_its_own() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", LISTENER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        left, port, reached = (process.stdout.readline().strip() for _ in range(3))
        if left == "True":
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", int(port)))
        process.communicate("\n")
    if left != "True":
        pytest.skip("a network of its own takes root or user namespaces")
    assert reached == "reached"


STAYER = """
import os
from supervised_reptile.distributed import private_network
private_network.SET_FLAGS = 0  # no request that a socket knows
before = os.readlink("/proc/self/ns/net")
print(private_network.leave_network(), os.readlink("/proc/self/ns/net") == before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")
def test_who_cannot_set_up_a_network_stays_in_the_old_one() -> None:
    done = subprocess.run([sys.executable, "-c", STAYER], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False True\n", "")


def test_what_cannot_be_launched_is_named() -> None:
    words = [sys.executable, *launcher(2), "no-such-program"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 1
    assert "no-such-program: cannot be run (No such file or directory)" in done.stderr
