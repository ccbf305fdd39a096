#!/usr/bin/env python3
"""Few-shot sine regression on one core: our training beside plain eager loops of the same steps.

Everybody draws the waves, takes 5 inner steps of SGD on 10 points each and one outer step, task by
task. Compiling is not part of a round; drawing the waves is. Every entry is a process of its own,
rounds are interleaved, all on the first core that this process may use.

    python benchmarks/sine.py
    python benchmarks/sine.py --rounds 3 --tasks 1000      a quick look
"""

from __future__ import annotations

import os
from functools import partial
from typing import cast

import click
import numpy as np
from entries import Entry
from rounds import Measured, measure

TASKS = 30_000  # of the published run
EAGER_SHARE = 100  # of ours, how many tasks the eager loops do in a round: they are slow
RANGES = (0.1, 5.0), (0.0, 2 * np.pi)  # amplitudes, phases


def our_entry(tasks: int) -> Entry:
    """`reptile sine` without looks and checkpoints."""
    from supervised_reptile.algorithms.image_feed import prefetched
    from supervised_reptile.cli.sine import waves_of
    from supervised_reptile.paper.sine.config import SineConfig
    from supervised_reptile.paper.sine.experiment import make_learner, network, wave_tasks
    from supervised_reptile.training.loop import plan_chunks

    config = SineConfig(outer_steps=tasks)
    task_source = wave_tasks(config, waves_of(config))

    learner = make_learner(config, network(config))

    def run() -> None:
        chunks = plan_chunks(config, task_source.longest, monitor_interval=10**9, first_step=1)
        for chunk, batch in prefetched(chunks, task_source.prepare):
            learner.train(batch, config.outer_step_size_at(np.arange(*chunk)))

    return Entry("this program", run, tasks, "tasks")


def layer_arrays() -> list[np.ndarray]:
    """Float32 kernels and biases of the network at its start."""
    from supervised_reptile.networks.mlp import MLP, initial_mlp_weights

    shapes = [shape for _, shape in MLP().shapes]
    cuts = np.cumsum([np.prod(shape) for shape in shapes])[:-1]
    pieces = np.split(initial_mlp_weights(MLP(), 0), cuts.astype(int))
    return [piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True)]


def drawn(random: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """The inner batches of a task: x and values, float32 [10, 1] each."""
    amplitude, phase = (random.uniform(*limits) for limits in RANGES)
    x = random.permutation(np.linspace(-5, 5, 50, dtype=np.float32))[:, None]
    values = (amplitude * np.sin(x + phase)).astype(np.float32)
    return list(zip(np.split(x, 5), np.split(values, 5), strict=True))


def tensorflow_entry(tasks: int, compiled: bool) -> Entry:
    """A plain TensorFlow loop; `compiled`: with the inner step as a tf.function."""
    import tensorflow as tf

    weights = [tf.Variable(tf.constant(array)) for array in layer_arrays()]

    def inner_step(x, y):
        with tf.GradientTape() as tape:
            hidden = tf.tanh(tf.tanh(x @ weights[0] + weights[1]) @ weights[2] + weights[3])
            loss = tf.reduce_mean(tf.square(hidden @ weights[4] + weights[5] - y))
        gradients = cast("list[tf.Tensor]", tape.gradient(loss, weights))  # none of them sparse
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.assign_sub(0.02 * gradient)

    step = tf.function(inner_step) if compiled else inner_step

    def run() -> None:
        random = np.random.default_rng(0)
        for task in range(tasks):
            before = [tf.identity(weight) for weight in weights]
            for x, y in drawn(random):
                step(tf.constant(x), tf.constant(y))
            size = 0.1 * (1 - task / tasks)
            for weight, old in zip(weights, before, strict=True):
                weight.assign(old + size * (weight - old))

    name = "TensorFlow, a tf.function per inner step" if compiled else "TensorFlow, eager"
    return Entry(name, run, tasks, "tasks")


def torch_entry(tasks: int) -> Entry:
    """A plain PyTorch loop, as the published script. Raises ImportError where it is not there."""
    import torch

    torch.set_num_threads(1)
    weights = [torch.from_numpy(array).requires_grad_() for array in layer_arrays()]

    def inner_step(x, y):
        hidden = torch.tanh(torch.tanh(x @ weights[0] + weights[1]) @ weights[2] + weights[3])
        loss = (hidden @ weights[4] + weights[5] - y).pow(2).mean()
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight -= 0.02 * gradient

    def run() -> None:
        random = np.random.default_rng(0)
        for task in range(tasks):
            before = [weight.detach().clone() for weight in weights]
            for x, y in drawn(random):
                inner_step(torch.from_numpy(x), torch.from_numpy(y))
            size = 0.1 * (1 - task / tasks)
            with torch.no_grad():
                for weight, old in zip(weights, before, strict=True):
                    weight.copy_(old + size * (weight - old))

    return Entry("PyTorch, eager", run, tasks, "tasks")


def line(measured: Measured, ours: Measured) -> str:
    """A row of the table."""
    cells = [measured.name]
    for rates, best in ((measured.rates, ours.rates), (measured.cpu_rates, ours.cpu_rates)):
        low, median, high = (TASKS / np.quantile(rates, q) for q in (0.75, 0.5, 0.25))
        cells.append(f"{median:.3g} ({low:.3g} to {high:.3g})")
        cells.append(f"{np.median(np.divide(best, rates)):.3g}")
    return "| " + " | ".join(cells) + " |"


@click.command(help=(__doc__ or "").replace("\n    ", "\n\n\b\n    ", 1))
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(min=1))
@click.option("--tasks", default=TASKS, show_default=True, type=click.IntRange(min=EAGER_SHARE))
def main(rounds: int, tasks: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    few = tasks // EAGER_SHARE
    makes = [
        partial(our_entry, tasks),
        partial(tensorflow_entry, few, compiled=False),
        partial(tensorflow_entry, few, compiled=True),
        partial(torch_entry, few),
    ]
    measured, missing = measure(makes, rounds, threads=1)
    click.echo(f"Seconds for {TASKS:,} tasks on one core, medians of {rounds} rounds (quartiles)\n")
    click.echo("| | clock | times ours | processor time | times ours |\n|---|---|---|---|---|")
    for entry in measured:
        click.echo(line(entry, measured[0]))
    for module in missing:
        click.echo(f"\nNot measured: {module} is not installed.")


if __name__ == "__main__":
    main()
