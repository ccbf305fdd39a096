"""tools/class_spread.py: what an accuracy owes to the choice of test classes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from command_line import ROOT, call, script

TOOL = ROOT / "tools" / "class_spread.py"
CLASSES, WAY, EPISODES = 400, 5, 20_000


def episodes(effect: float) -> tuple[np.ndarray, np.ndarray]:
    """Classes and rates of right answers where a class's queries fail with a chance of its own."""
    random = np.random.default_rng(0)
    failing = np.clip(random.normal(0.2, effect, CLASSES), 0, 1)
    classes = np.array([random.choice(CLASSES, WAY, replace=False) for _ in range(EPISODES)])
    return classes, (random.random(classes.shape) >= failing[classes]).mean(axis=1)


@pytest.mark.parametrize("effect", [0.0, 0.05, 0.1])
def test_the_spread_of_known_classes(effect: float) -> None:
    """The mean over n classes whose accuracies have deviation s has s / sqrt(n)."""
    found = script(TOOL).spread_of_classes(*episodes(effect), CLASSES)
    assert found == pytest.approx(effect / CLASSES**0.5, rel=0.1, abs=5e-4)


def test_a_run(finished: Path) -> None:
    outcome = call(finished, command=script(TOOL).main)
    assert outcome.code == 0, outcome.err
    assert "16 test classes" in outcome.out
    assert "5-shot, transductive: " in outcome.out
    assert "standard deviation by choice of classes" in outcome.out


def test_what_the_shorter_runs_page_says() -> None:
    """Of the run with its table; with other episodes' classes hardly any spread would be left."""
    outcome = call(ROOT / "results" / "omniglot-5way" / "seed-0", command=script(TOOL).main)
    spreads = re.findall(r"choice of classes (\S+)", outcome.out)
    assert len(spreads) == 4
    page = " ".join((ROOT / "docs" / "short-runs.md").read_text(encoding="utf8").split())
    assert f"a standard deviation of {min(spreads)} to {max(spreads)} points" in page
