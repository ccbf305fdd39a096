"""When and on how much training looks at the accuracy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import TINY, call, flags

from supervised_reptile.config import Config
from supervised_reptile.data.dataset import ClassPool, Dataset
from supervised_reptile.training.monitor import (
    CORRELATION,
    monitoring_schedule,
    worth,
)
from supervised_reptile.training.monitor import (
    MonitoringSchedule as Schedule,
)


def dataset(examples: int, held_out: int = 600) -> Dataset:
    """Classes with so many examples; nothing is read of them."""
    pools = {
        split: ClassPool(np.arange(5), np.full(5, count), ("",) * 5)
        for split, count in (("train", examples), ("val", held_out), ("test", 1))
    }
    return Dataset(np.zeros((1, 1, 1, 1), np.uint8), 1, pools, "")


@pytest.mark.parametrize("outer_steps", [1, 9, 400, 999])
def test_short_runs_look_as_often_as_they_are_told(outer_steps: int) -> None:
    config = Config(outer_steps=outer_steps, eval_interval=10)
    assert monitoring_schedule(config, dataset(600)) == Schedule(
        interval=10, episodes=1, query_sets=1
    )


def test_long_runs_look_less_often_at_more() -> None:
    config = Config(outer_steps=100_000, eval_interval=10)
    assert monitoring_schedule(config, dataset(600)) == Schedule(
        interval=120, episodes=3, query_sets=8
    )
    assert monitoring_schedule(config, dataset(20)) == Schedule(120, 3, 8)  # 15 beside 5 shots


@pytest.mark.parametrize("outer_steps", [9, 100_000])
def test_looks_may_be_ordered_exactly(outer_steps: int) -> None:
    config = Config(outer_steps=outer_steps, eval_interval=100, look_episodes=4)
    assert monitoring_schedule(config, dataset(600)) == Schedule(100, 4, 8)
    assert monitoring_schedule(config, dataset(7)) == Schedule(100, 4, 2)  # beside 5 shots


@pytest.mark.parametrize("examples", [6, 7, 9, 30])
@pytest.mark.parametrize("outer_steps", [1000, 2500, 7000, 50_000])
def test_looks_are_worth_the_episodes_that_they_stand_for(outer_steps: int, examples: int) -> None:
    config = Config(outer_steps=outer_steps, eval_interval=10, shots=5)
    for data in (dataset(examples), dataset(600, held_out=examples)):
        interval, episodes, query_sets = monitoring_schedule(config, data)
        assert interval % 10 == 0
        assert query_sets <= examples - 5
        assert episodes * worth(query_sets) >= interval / 10 > (episodes - 1) * worth(query_sets)
        assert outer_steps // interval >= 50


def test_what_several_query_sets_are_worth() -> None:
    """Against the variance of means over correlated numbers."""
    random = np.random.default_rng(0)
    shared = random.normal(size=(40_000, 1)) * np.sqrt(CORRELATION)
    own = random.normal(size=(40_000, 10)) * np.sqrt(1 - CORRELATION)
    for sets in (1, 4, 10):
        means = (shared + own[:, :sets]).mean(axis=1)
        assert worth(sets) == pytest.approx(1 / means.var(), rel=0.05)


def test_a_run_looks_by_the_plan(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    more = flags(meta_iters=200, eval_interval=1, data_dir=data, checkpoint=run)
    outcome = call(*TINY, *more)
    assert outcome.code == 0, outcome.err
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [m["step"] for m in metrics] == list(range(0, 200, 4))
    assert [look.split(":")[0] for look in outcome.looks] == [f"batch {m['step']}" for m in metrics]
    answers = np.array([m["test"] for m in metrics]) * 3 * 8  # 3 classes, 8 query sets
    np.testing.assert_allclose(answers, np.round(answers), atol=1e-6)
    assert len({round(a) % 8 for a in answers}) > 3  # finer than thirds
