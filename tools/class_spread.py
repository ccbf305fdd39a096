#!/usr/bin/env python3
"""How much of a run's test accuracy is luck with the test classes.

The interval of an accuracy is over episodes of the test classes that the run has. Another seed
splits the data into other classes; how much its accuracy differs by that alone is estimated here
from which classes the episodes with wrong answers had.

    python tools/class_spread.py runs/paper/omniglot-5way/seed-0
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from supervised_reptile.cli.main import run as run_program
from supervised_reptile.data.dataset import ClassPool
from supervised_reptile.data.episodes import TaskShape, evaluation_tasks
from supervised_reptile.runs.read_run import read_episodes, read_evaluations, read_stored
from supervised_reptile.system.path_type import Place


@click.command(help=(__doc__ or "").replace("\n    ", "\n\n\b\n    ", 1))
@click.argument("run", type=Place(path_type=Path))
def main(run: Path) -> None:
    stored = read_stored(run)
    count, way = len(stored.classes["test"]), stored.config.way
    print(f"{count} test classes; accuracies in %")
    for evaluation in read_evaluations(run):
        settings = evaluation["settings"]
        seed, episodes = settings["eval_seed"], settings["eval_episodes"]
        classes = classes_of_episodes(count, way, seed, episodes)
        for name, correct in read_episodes(run, evaluation).items():
            if not name.endswith("_test"):
                continue
            rates = correct / way
            luck = spread_of_classes(classes, rates, count)
            mean, error = 100 * rates.mean(), 100 * rates.std(ddof=1) / len(rates) ** 0.5
            print(f"{settings['shots']}-shot, {name.removesuffix('_test').replace('_', '-')}: "
                  f"{mean:.2f}; standard error over episodes {error:.2f}, "
                  f"standard deviation by choice of classes {100 * luck:.2f}")  # fmt: skip


def classes_of_episodes(count: int, way: int, seed: int, episodes: int) -> np.ndarray:
    """The numbers of the test classes of evaluation episodes: int [episodes, way]."""
    # Classes of one example each: an example's row is its class.
    pool = ClassPool(np.arange(count), np.ones(count, np.int64), ("",) * count)
    shape = TaskShape(way, shots=1, steps=0, batch=1)
    return evaluation_tasks(pool, shape, seed, "test", range(episodes)).support_rows


def spread_of_classes(classes: np.ndarray, rates: np.ndarray, count: int) -> float:
    """The standard deviation of the mean of `rates` over choices of as many other classes.

    Each class is taken to add a number of its own to the rates of its episodes. Their variance is
    that of the mean rates of each class's episodes, less what chance alone would give these.

    classes: int [episodes, way]; rates: float [episodes]; count: how many classes there are.
    """
    way = classes.shape[1]
    found, numbers, seen = np.unique(classes, return_inverse=True, return_counts=True)
    means = np.bincount(numbers.ravel(), np.repeat(rates, way), len(found)) / seen
    chance = rates.var(ddof=1) / seen
    effect = max(0.0, means.var(ddof=1) - chance.mean())
    # A rate has `way` of these numbers, and each of `count` numbers is in way / count of all rates.
    return way * (effect / count) ** 0.5


if __name__ == "__main__":
    run_program(main)
