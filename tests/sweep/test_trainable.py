"""A trial as Ray Tune sees it, from a run directory made of numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from stored_runs import write_run

from supervised_reptile.sweep.dimensions import Choices
from supervised_reptile.sweep.space import Space
from supervised_reptile.sweep.trials import Plan, make_trial

pytest.importorskip("ray", reason="the extra [sweep] is not installed")

POINT = {"meta-step": 1.0}
SPACE = Space(
    "omniglot", "grid", {"meta-step": Choices((1.0,))}, {"val-classes": 5, "meta-iters": 31}
)
SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


def test_who_evaluates_is_not_stopped_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look after the last outer step is no news: 100% is what early stopping stops at."""
    from supervised_reptile.sweep import trainable

    plan = Plan(SPACE, "data", tmp_path / "sweep", 1, 1, 1, 0.0, None)
    run = write_run(make_trial(plan, 0, POINT).path)
    lines = [json.dumps({"step": step, "train": 1.0, "val": 0.5}) for step in (0, 10, 20, 30)]
    (run / "metrics.jsonl").write_text("".join(line + "\n" for line in lines))
    (plan.out / "sweep.json").write_text("{}")
    monkeypatch.setattr(trainable, "LONGEST_STEP", 0.0)
    monkeypatch.setattr(
        trainable,
        "start_run",
        lambda words, log: subprocess.Popen(SLEEPER),
    )
    trial = object.__new__(trainable.TrialRun)
    trial.setup({"number": 0, "point": POINT}, plan)
    try:
        results = [trial.step() for _ in range(5)]
    finally:
        trial.cleanup()
    assert [result["percent"] for result in results] == pytest.approx(
        [100 * steps / 31 for steps in (1, 11, 21, 21, 21)]
    )
