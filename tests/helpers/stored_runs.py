"""Run directories made of numbers, for what only reads them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from supervised_reptile.analysis.statistics import accuracy
from supervised_reptile.config import Config

CLASSES = {"train": ["a", "b", "c"], "test": ["d", "e"]}
SETTINGS = {
    "shots": 5, "eval_batch": 5, "eval_steps": 50, "eval_episodes": 40, "eval_seed": 0,
}  # fmt: skip


def write_run(
    path: Path,
    data: str = "checksum of the images",
    classes: Mapping[str, Sequence[str]] = CLASSES,
    **fields: Any,
) -> Path:
    """A run that was started with the configuration of `fields`, and did nothing yet."""
    path.mkdir(parents=True)
    config = dataclasses.asdict(Config(checkpoint=str(path), **fields))
    content = {"config": config, "net": {}, "data": data}
    (path / "config.json").write_text(json.dumps(content))
    (path / "classes.json").write_text(json.dumps(classes))
    (path / "metrics.jsonl").write_text("")
    return path


def write_metrics(run: Path, looks: int, held_out: str = "test") -> Path:
    """Metrics of a run whose training accuracy climbs to 1 and whose other one stays at 0.2."""
    lines = [
        json.dumps({"step": 10 * look, "train": look / (looks - 1 or 1), held_out: 0.2})
        for look in range(looks)
    ]
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n" * bool(lines))
    return run


def write_result(
    run: Path, correct: Mapping[str, np.ndarray], outer_steps: int = 400_000, **settings: Any
) -> Path:
    """Add an evaluation; `correct`: "<mode>_<split>" -> right answers of 5, int [episodes]."""
    accuracies: dict[str, dict] = {}
    for name, counts in correct.items():
        mode, split = name.rsplit("_", 1)
        accuracies.setdefault(mode, {})[split] = accuracy(counts, 5)._asdict()
    file = run / "results.json"
    known = json.loads(file.read_text())["evaluations"] if file.exists() else []
    episodes = f"episodes/{len(known)}.npz"
    (run / "episodes").mkdir(exist_ok=True)
    np.savez_compressed(run / episodes, **correct)
    length = {"eval_episodes": len(next(iter(correct.values())))}
    evaluation = {
        "settings": {**SETTINGS, **length, **settings, "modes": "+".join(accuracies)},
        "accuracy": accuracies,
        "outer_steps": outer_steps,
        "training_seconds": 1.0,
        "episodes": episodes,
    }
    file.write_text(json.dumps({"evaluations": [*known, evaluation]}))
    return run


def some_answers(seed: int, share: float = 0.7, episodes: int = 40) -> np.ndarray:
    """Right answers of 5, int64 [episodes]."""
    return np.random.default_rng(seed).binomial(5, share, episodes)
