"""The small problem trained by every algorithm: by itself, or as a worker of a group.

As a program it is one of the workers of TF_CONFIG; the chief writes the weights to OUT.npz:

    python small_workers.py OUT.npz
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

from supervised_reptile.system import tf_config
from supervised_reptile.system.start_tensorflow import start_tensorflow

if __name__ == "__main__":  # before `small_problem` does it, without a cluster
    start_tensorflow(cluster=tf_config.read_cluster())

import small_problem as small
from small_problem import ADAM, SGD

from supervised_reptile.algorithms.learner import Learner
from supervised_reptile.algorithms.meta_batch import MetaBatch
from supervised_reptile.algorithms.worker_group import Group, group_of
from supervised_reptile.data.episodes import Purpose, Stream, TaskShape, sample_tasks

META_BATCH, STEP_SIZES = 5, np.array([0.8, 0.5])


def learners(group: Group) -> Iterator[tuple[str, Learner, TaskShape]]:
    """Every way to compute an outer step's sums, with the tasks to train on."""
    weights, reptile = small.some_weights(), small.ALGORITHMS["reptile"]
    adam = MetaBatch(small.classifier(ADAM), group=group)
    sgd = MetaBatch(small.classifier(SGD), group=group)
    for name, shape in small.ALGORITHMS.items():
        yield name, Learner(adam, weights), shape
    yield "sgd", Learner(sgd, weights), reptile
    yield "maml", Learner(sgd._replace(second_order=True), weights), small.ALGORITHMS["foml"]
    yield "parallel", Learner(adam._replace(task_order="parallel"), weights), reptile
    yield "outer adam", Learner(adam, weights, outer_optimizer="adam"), reptile
    yield "stacked", Learner(small.stacked(ADAM, group), weights, xla=True), reptile


def train(group: Group) -> dict[str, np.ndarray]:
    """Weights and second moments after two outer steps, float64 [2, P], by algorithm."""
    ends = {}
    share = group.share(META_BATCH)
    for name, learner, shape in learners(group):
        steps = range(len(STEP_SIZES))
        tasks = sample_tasks(small.POOL, shape, Stream(3, Purpose.TRAIN), steps, share)
        assert learner.train(small.fed(tasks), STEP_SIZES) == len(steps)
        ends[name] = np.stack([learner.weights.numpy(), learner.second_moment.numpy()])
    return ends


def main(out: str) -> None:
    tf_config.LONGEST_RING = 3  # so that four are a grid already
    group = group_of(tf_config.read_cluster())
    ends = train(group)
    for name, end in ends.items():  # replicas that drift apart would never be noticed
        assert np.array_equal(group.broadcast(end), end), name
    assert group.broadcast_text("Grüße" if group.is_chief else "") == "Grüße"
    assert group.maximum(group.rank) == group.size - 1
    if group.is_chief:
        np.savez(out, **ends)
    group.maximum(0)


if __name__ == "__main__":
    main(sys.argv[1])
