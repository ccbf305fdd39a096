"""The published algorithms written out slowly and obviously, as a reference for the fast code.

Networks in NumPy loops; optimizers in NumPy; tasks, batches and images one after the other.
Only the gradient of the loss comes from TensorFlow, of the shipped network run eagerly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from supervised_reptile.algorithms.inner_loop import Problem
from supervised_reptile.data.episodes import Tasks
from supervised_reptile.networks.conv4 import ConvNet


def network(net: ConvNet, weights: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Scores [images, way] of images [images, height, width, channels]."""
    parts = named_parts(net, weights)
    x = images
    for block in range(net.blocks):
        x = convolution(x, parts[f"block{block}/kernel"], stride=1 if net.pooling else 2)
        x = batch_norm(x, parts[f"block{block}/gamma"], parts[f"block{block}/beta"])
        x = np.maximum(max_pool(x) if net.pooling else x, 0)
    return x.reshape(len(x), -1) @ parts["dense/kernel"] + parts["dense/bias"]


def named_parts(net: ConvNet, weights: np.ndarray) -> dict[str, np.ndarray]:
    """The flat vector cut into the network's weights."""
    parts, start = {}, 0
    for name, shape in net.shapes:
        stop = start + math.prod(shape)
        parts[name] = weights[start:stop].reshape(shape)
        start = stop
    assert start == len(weights)
    return parts


def windows(x: np.ndarray, size: int, stride: int, fill: float) -> dict[tuple, np.ndarray]:
    """(row, column) of the result -> [images, size, size, channels]; padding SAME."""
    counts, before = [], []
    for length in x.shape[1:3]:
        count = math.ceil(length / stride)
        counts.append(count)
        before.append(max((count - 1) * stride + size - length, 0) // 2)
    wide = [(0, 0), *((b, size + stride) for b in before), (0, 0)]
    padded = np.pad(x, wide, constant_values=fill)
    return {
        (i, j): padded[:, i * stride : i * stride + size, j * stride : j * stride + size]
        for i in range(counts[0])
        for j in range(counts[1])
    }


def convolution(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    seen = windows(x, 3, stride, fill=0.0)
    height, width = (1 + last for last in max(seen))
    result = np.empty((len(x), height, width, kernel.shape[-1]))
    for (i, j), window in seen.items():
        for image in range(len(x)):
            for channel in range(kernel.shape[-1]):
                result[image, i, j, channel] = np.sum(window[image] * kernel[..., channel])
    return result


def batch_norm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    result = np.empty_like(x)
    for channel in range(x.shape[-1]):
        values = x[..., channel]
        mean = values.sum() / values.size
        variance = np.square(values - mean).sum() / values.size
        normal = (values - mean) / math.sqrt(variance + 0.001)
        result[..., channel] = gamma[channel] * normal + beta[channel]
    return result


def max_pool(x: np.ndarray) -> np.ndarray:
    seen = windows(x, 2, 2, fill=-math.inf)
    height, width = (1 + last for last in max(seen))
    result = np.empty((len(x), height, width, x.shape[-1]))
    for (i, j), window in seen.items():
        result[:, i, j] = window.max(axis=(1, 2))
    return result


NUDGE = 1e-5  # the share of a vector by which weights are moved to see what a step makes of it


class Batch(NamedTuple):
    """One inner batch."""

    inputs: tuple[np.ndarray, ...]  # [batch, ...] each
    labels: np.ndarray  # [batch]


class Task(NamedTuple):
    """The inner batches of one task; FOML's and MAML's last one apart."""

    batches: Sequence[Batch]
    tail: Batch | None = None


def slow_tasks(tasks: Tasks, batch: Callable[[np.ndarray, np.ndarray], Batch]) -> list[Task]:
    """Tasks one by one; `batch` makes an inner batch of rows and labels."""
    return [
        Task(
            [batch(*pair) for pair in zip(tasks.rows[i], tasks.labels[i], strict=True)],
            batch(tasks.tail_rows[i], tasks.tail_labels[i]) if tasks.tail_rows.size else None,
        )
        for i in range(len(tasks.rows))
    ]


class SlowLearner:
    """One copy of the weights and of Adam's state, and every algorithm of the paper on it."""

    def __init__(
        self,
        problem: Problem,
        weights: np.ndarray,
        second_moment: np.ndarray,
        time: int,
        second_order: bool = False,
    ) -> None:
        self.problem = problem
        self.second_order = second_order
        self.weights = np.array(weights)
        self.second_moment = np.array(second_moment)
        self.time = int(time)

    def gradient(self, batch: Batch) -> np.ndarray:
        weights = tf.constant(self.weights)
        with tf.GradientTape() as tape:
            tape.watch(weights)
            outputs = self.outputs(weights, batch.inputs)
            loss = self.problem.loss(tf.constant(batch.labels), outputs)
        return tape.gradient(loss, weights).numpy()

    def outputs(self, weights: np.ndarray, inputs: tuple[np.ndarray, ...]) -> tf.Tensor:
        inputs = tuple(map(tf.constant, inputs))
        return self.problem.predict(self.problem.grouping.split(weights), inputs)

    def inner_step(self, batch: Batch) -> None:
        rate, sgd, decay = self.problem.rule
        self.weights = decay * self.weights
        gradient = self.gradient(batch)
        self.time += 1
        if sgd:
            self.weights = self.weights - rate * gradient
            return
        self.second_moment = 0.999 * self.second_moment + 0.001 * gradient**2
        step = rate * math.sqrt(1 - 0.999**self.time)
        self.weights = self.weights - step * gradient / (np.sqrt(self.second_moment) + 1e-8)

    def run(self, task: Task) -> np.ndarray:
        """The task's update; the weights stay where the task led them."""
        visited = [self.weights]
        for batch in task.batches:
            self.inner_step(batch)
            visited.append(self.weights)
        if not task.tail:
            return self.weights - visited[0]
        self.inner_step(task.tail)
        update = self.weights - visited[-1]
        if self.second_order:
            for weights, batch in reversed(list(zip(visited, task.batches, strict=False))):
                update = self.back_through_step(weights, batch, update)
        return update

    def back_through_step(
        self, weights: np.ndarray, batch: Batch, vector: np.ndarray
    ) -> np.ndarray:
        """`vector` times the (symmetric) derivative of one SGD step from `weights`: the difference
        between two steps that start a little before and a little behind it along the vector."""
        ends = []
        for sign in (1, -1):
            copy = self.copy()
            copy.weights = weights + sign * NUDGE * vector
            copy.inner_step(batch)
            ends.append(copy.weights)
        return (ends[0] - ends[1]) / (2 * NUDGE)

    def outer_step_in_sequence(self, tasks: Sequence[Task], step_size: float) -> None:
        start, updates = self.weights, []
        for task in tasks:
            self.weights = start
            updates.append(self.run(task))
        self.weights = start + step_size * sum(updates) / len(tasks)

    def outer_step_in_parallel(self, tasks: Sequence[Task], step_size: float) -> None:
        copies = [self.copy() for _ in tasks]
        updates = [copy.run(task) for copy, task in zip(copies, tasks, strict=True)]
        self.weights = self.weights + step_size * sum(updates) / len(tasks)
        self.second_moment = sum(copy.second_moment for copy in copies) / len(tasks)
        self.time = copies[0].time

    def outer_step_in_a_chain(self, tasks: Sequence[Task], step_size: float) -> None:
        start = self.copy()
        self.outer_step_in_parallel(tasks, step_size)
        steps = self.time - start.time
        added = self.second_moment - 0.999**steps * start.second_moment
        self.second_moment = start.second_moment
        for _ in tasks:
            self.second_moment = 0.999**steps * self.second_moment + added
        self.time = start.time + steps * len(tasks)

    def copy(self) -> SlowLearner:
        return SlowLearner(
            self.problem, self.weights, self.second_moment, self.time, self.second_order
        )
