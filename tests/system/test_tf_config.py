"""TF_CONFIG: what it says, and one line for whatever is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import TINY, assert_refused, call, flags

from supervised_reptile.system.tf_config import VARIABLE, read_cluster, rings, write_cluster

TWO = {"worker": ["a:1", "b:2"]}


def read(cluster: object, task: object) -> object:
    return read_cluster({VARIABLE: json.dumps({"cluster": cluster, "task": task})})


def test_what_is_written_is_read() -> None:
    addresses = ("127.0.0.1:2222", "127.0.0.1:2223", "[::1]:2224")
    for rank in range(3):
        found = read_cluster({VARIABLE: write_cluster(addresses, rank)})
        assert (found.addresses, found.rank) == (addresses, rank)


def test_a_chief_comes_before_the_workers() -> None:
    cluster = {"worker": ["b:1", "c:1"], "chief": ["a:1"]}
    ranks = {("chief", 0): 0, ("worker", 0): 1, ("worker", "1"): 2}
    for (job, index), rank in ranks.items():
        found = read(cluster, {"type": job, "index": index})
        assert found.rank == rank
        assert found.addresses == ("a:1", "b:1", "c:1")
        assert found.name(rank) == f"worker {rank} ({'abc'[rank]}:1)"


@pytest.mark.parametrize("text", ["", " ", "{}", '{"cluster": {}}', '{"task": {"index": 0}}'])
def test_without_a_cluster_there_is_one_process(text: str) -> None:
    assert read_cluster({VARIABLE: text}) is None
    assert read_cluster({}) is None


def test_a_single_worker_needs_no_group() -> None:
    assert read({"worker": ["a:1"]}, {"type": "worker", "index": 0}) is None


RINGS = {1: (1,), 2: (2,), 7: (7,), 8: (8,), 9: (3, 3), 11: (11,), 12: (3, 4), 512: (16, 32)}


@pytest.mark.parametrize("workers", RINGS)
def test_many_workers_stand_in_a_grid(workers: int) -> None:
    assert rings(workers) == RINGS[workers]


WRONG = {
    "not JSON": ("{", "it is not JSON"),
    "a list": ([], "not a JSON object"),
    "a cluster without jobs": ({"cluster": ["a:1"]}, '"cluster"'),
    "a parameter server": ({"cluster": {"ps": ["a:1"], **TWO}}, "'ps'"),
    "an evaluator": ({"cluster": {"evaluator": ["a:1"], **TWO}}, "'evaluator'"),
    "no list": ({"cluster": {"worker": "a:1"}}, "'worker'"),
    "no port": ({"cluster": {"worker": ["a", "b:2"]}}, "host:2222"),
    "a port out of range": ({"cluster": {"worker": ["a:70000", "b:2"]}}, "host:2222"),
    "an empty part of a host": ({"cluster": {"worker": ["a..b:1", "b:2"]}}, "host:2222"),
    "no host": ({"cluster": {"worker": [":1", "b:2"]}}, "host:2222"),
    "two chiefs": ({"cluster": {"chief": ["a:1", "b:1"]}}, "more than one chief"),
    "twice the same": ({"cluster": {"worker": ["a:1", "a:1"]}}, "a:1"),
    "no task": ({"cluster": TWO}, '"task"'),
    "no index": ({"cluster": TWO, "task": {"type": "worker"}}, '"task"'),
    "an index too large": ({"cluster": TWO, "task": {"type": "worker", "index": 2}}, "2"),
    "a truth": ({"cluster": TWO, "task": {"type": "worker", "index": True}}, "True"),
    "another job": ({"cluster": TWO, "task": {"type": "chief", "index": 0}}, "'chief'"),
    "an unhashable index": ({"cluster": TWO, "task": {"type": "worker", "index": [0]}}, "[0]"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_in_one_line(
    name: str, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, word = WRONG[name]
    monkeypatch.setenv(VARIABLE, content if isinstance(content, str) else json.dumps(content))
    outcome = call(*TINY, *flags(data_dir=data, checkpoint=tmp_path / "run"))
    assert_refused(outcome, VARIABLE, word, '{"cluster": {"worker": ["host1:2222"')
    assert not (tmp_path / "run").exists()
