#!/usr/bin/env python3
"""What it costs to look at the accuracy during training, and what a look tells.

Takes a trained Omniglot run: measures the correlation between query sets of an episode that
`training.monitor` counts with, and the share of the time that evaluations during
training take at the original's --eval-interval 10, in the original's way and in this program's.

    python benchmarks/monitoring.py --checkpoint runs/o5-10k --data-dir data/omniglot
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from supervised_reptile.system.start_tensorflow import start_tensorflow
from supervised_reptile.training import monitor

if TYPE_CHECKING:
    from supervised_reptile.training.evaluation import Evaluator

EPISODES = 1000
INTERVAL = 10  # the original's


@click.command(help=(__doc__ or "").replace("\n    ", "\n\n\b\n    ", 1))
@click.option("--checkpoint", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--data-dir", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--rounds", default=9, show_default=True, type=click.IntRange(min=1))
def main(checkpoint: Path, data_dir: Path, rounds: int) -> None:
    start_tensorflow()
    from supervised_reptile.algorithms.image_feed import ImageFeed
    from supervised_reptile.config import transduction_modes
    from supervised_reptile.data.omniglot import load_omniglot
    from supervised_reptile.networks import conv4
    from supervised_reptile.runs import read_run, run_dir
    from supervised_reptile.training import loop
    from supervised_reptile.training.evaluation import Evaluator
    from supervised_reptile.training.experiment import make_learner

    stored = read_run.read_stored(checkpoint)
    dataset = load_omniglot(data_dir, stored.config.seed, stored.config.val_classes)
    net = conv4.omniglot_net(dataset.image_shape, stored.config.way)
    feed = ImageFeed(dataset, conv4.encoder(net, len(dataset.images)))
    learner = make_learner(stored.config, net, dataset.max_value)
    with run_dir.RunDir(checkpoint, stored) as run:
        run.attach(learner)
        run.restore()

    for transductive in (True, False):
        config = dataclasses.replace(
            stored.config,
            transductive=transductive,
            both_modes=False,
            eval_episodes=EPISODES,
            eval_interval=INTERVAL,
            outer_steps=100_000,
        )
        evaluator = Evaluator(config, dataset, feed, learner)
        (mode,) = transduction_modes(config)
        click.echo(f"{mode}: {information(evaluator, mode)}")
        chunk = loop.Chunk(0, INTERVAL)
        shape = loop.task_shape(config)
        batch = feed(loop.draw(config, dataset.pools["train"], shape, chunk))
        steps = partial(learner.train, batch, np.zeros(INTERVAL))
        plans = {
            "one episode each time": monitor.MonitoringSchedule(INTERVAL, 1, 1),
            "bundled": evaluator.schedule,
        }
        for name, plan in plans.items():
            click.echo(f"  {name}: {cost(evaluator, plan, steps, rounds)}")


def information(evaluator: Evaluator, mode: str) -> str:
    """What query sets are worth on test episodes."""
    sets, way = monitor.MAX_QUERY_SETS, evaluator.config.way
    one, many = (
        np.var(evaluator.count("test", n)[mode] / (n * way), ddof=1).item() for n in (1, sets)
    )
    correlation = (sets * many / one - 1) / (sets - 1)
    return (
        f"correlation between query sets {correlation:.3f} over {EPISODES} episodes; "
        f"{sets} sets are worth {one / many:.1f} episodes"
    )


def cost(
    evaluator: Evaluator, plan: monitor.MonitoringSchedule, steps: Callable[[], object], rounds: int
) -> str:
    """The time of an evaluation and of the steps between two; `steps` runs INTERVAL steps."""
    evaluator.schedule = plan
    training, evaluation = medians(rounds, steps, lambda: evaluator.monitor(0))
    training *= plan.interval / INTERVAL
    return (
        f"evaluating every {plan.interval} outer steps takes {1e3 * evaluation:.0f} ms, the steps "
        f"{1e3 * training:.0f} ms: {100 * evaluation / training:.1f}% of training"
    )


def medians(rounds: int, *works: Callable[[], object]) -> list[float]:
    """Median seconds of each, taking turns."""
    for work in works:
        work()  # compiles
    seconds = np.empty((rounds, len(works)))
    for turn in seconds:
        for i, work in enumerate(works):
            began = time.perf_counter()
            work()
            turn[i] = time.perf_counter() - began
    return np.median(seconds, axis=0).tolist()


if __name__ == "__main__":
    main()
