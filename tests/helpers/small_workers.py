"""The small problem trained by every algorithm: by itself, or as a worker of TF_CONFIG.

As a program it is one of the workers; the first writes the weights to OUT.npz:

    python small_workers.py OUT.npz
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

from supervised_reptile.distributed.tf_config import join_workers

if __name__ == "__main__":  # before `small_problem` starts TensorFlow without the others
    ALL = join_workers()

import small_problem as small
from small_problem import ADAM, SGD

from supervised_reptile.algorithms.learner import Learner
from supervised_reptile.algorithms.meta_batch import MetaBatch
from supervised_reptile.algorithms.workers import Workers
from supervised_reptile.data.episodes import Purpose, Stream, TaskShape, sample_tasks

META_BATCH, STEP_SIZES = 5, np.array([0.8, 0.5])


def learners(workers: Workers) -> Iterator[tuple[str, Learner, TaskShape]]:
    """Every way to compute an outer step's sums, with the tasks to train on."""
    weights, reptile = small.some_weights(), small.ALGORITHMS["reptile"]
    adam = MetaBatch(small.classifier(ADAM), workers=workers)
    sgd = MetaBatch(small.classifier(SGD), workers=workers)
    for name, shape in small.ALGORITHMS.items():
        yield name, Learner(adam, weights), shape
    yield "sgd", Learner(sgd, weights), reptile
    yield "maml", Learner(sgd._replace(second_order=True), weights), small.ALGORITHMS["foml"]
    yield "parallel", Learner(adam._replace(task_order="parallel"), weights), reptile
    yield "outer adam", Learner(adam, weights, outer_optimizer="adam"), reptile
    yield "stacked", Learner(small.stacked(ADAM, workers), weights, xla=True), reptile


def train(workers: Workers) -> dict[str, np.ndarray]:
    """Weights and second moments after two outer steps, float64 [2, P], by algorithm."""
    ends = {}
    share = workers.share(META_BATCH)
    for name, learner, shape in learners(workers):
        steps = range(len(STEP_SIZES))
        tasks = sample_tasks(small.POOL, shape, Stream(3, Purpose.TRAIN), steps, share)
        assert learner.train(small.task_batch(tasks), STEP_SIZES) == len(steps)
        ends[name] = np.stack([learner.weights.numpy(), learner.second_moment.numpy()])
    return ends


def main(out: str) -> None:
    ends = train(ALL)
    for name, end in ends.items():  # replicas that drift apart would never be noticed
        assert np.array_equal(ALL.from_first(end), end), name
    if ALL.rank == 0:
        np.savez(out, **ends)
    ALL.sum(np.zeros(1))  # a worker that ends early is reported as lost


if __name__ == "__main__":
    main(sys.argv[1])
