"""A run on waves: open it, train, evaluate."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from supervised_reptile.algorithms.image_feed import TaskBatch
from supervised_reptile.algorithms.inner_loop import InnerRule, Problem, mean_squared_error
from supervised_reptile.algorithms.learner import Learner
from supervised_reptile.algorithms.meta_batch import MetaBatch
from supervised_reptile.analysis.statistics import loss
from supervised_reptile.config import MOST_IN_STEP, Config
from supervised_reptile.data.episodes import Purpose, Stream, check_batch
from supervised_reptile.networks.mlp import MLP, initial_mlp_weights, mlp_grouping, mlp_predictions
from supervised_reptile.paper.sine.config import SineConfig
from supervised_reptile.paper.sine.evaluation import (
    Adaptation,
    Initialization,
    WaveEvaluator,
    WaveMonitor,
    evaluation_shape,
)
from supervised_reptile.paper.sine.waves import Waves, draw_waves
from supervised_reptile.runs.read_only_run import AnyRun
from supervised_reptile.runs.read_run import Stored
from supervised_reptile.training.loop import Chunk, TaskSource, task_shape, train
from supervised_reptile.training.open_run import check_origin, open_directory
from supervised_reptile.training.request import Request, resolve

CALL = 1000  # outer steps in one compiled call, of one task each: a fraction of a second


class SineExperiment(NamedTuple):
    """A run directory that is open, with all that training and evaluation need."""

    config: SineConfig
    waves: Waves
    learner: Learner  # with the state of the run's newest checkpoint
    evaluator: WaveEvaluator
    run: AnyRun


@contextlib.contextmanager
def opened(request: Request, adaptation: Adaptation | None = None) -> Iterator[SineExperiment]:
    """Everything that was asked for, checked and restored (UserError where it cannot).

    adaptation: see `WaveEvaluator`.
    """
    request = resolve(request)
    config = request.config
    assert isinstance(config, SineConfig)
    waves = request.source.load(config)
    check_batch(task_shape(config), "--inner-batch")
    check_batch(evaluation_shape(config), "--eval-batch")
    net = network(config)
    stored = Stored(config, net._asdict(), "", {}, request.source.command)
    if request.origin:
        check_origin(request.origin, stored)
    learner = make_learner(config, net)
    with open_directory(request, stored, learner) as run:
        evaluator = WaveEvaluator(config, waves, learner, adaptation)
        yield SineExperiment(config, waves, learner, evaluator, run)


def network(config: SineConfig) -> MLP:
    """The network of `config`."""
    reach = max(abs(config.x_min), abs(config.x_max))
    return MLP(config.hidden_units, config.hidden_layers, config.activation, reach)


def make_learner(config: SineConfig, net: MLP) -> Learner:
    """A learner of `net` with the initial weights of config.seed."""
    problem = Problem(
        predict=lambda weights, inputs: mlp_predictions(net, weights, inputs[0]),
        loss=mean_squared_error,
        rule=InnerRule(config.inner_rate, config.sgd, config.weight_decay),
        grouping=mlp_grouping(net),
    )
    meta_batch = MetaBatch(problem, config.task_order, second_order=config.algorithm == "maml")
    weights = initial_mlp_weights(net, config.seed)
    # One XLA program: the operations on so small a network would cost more than what they compute.
    return Learner(meta_batch, weights, config.outer_optimizer, True, longest_call(config))


def longest_call(config: Config) -> int:
    """Outer steps in one compiled call."""
    points = config.meta_batch * config.inner_steps * config.inner_batch
    fitting = min(CALL // config.meta_batch, MOST_IN_STEP // points)
    return max(1, min(fitting, config.outer_steps))


def wave_tasks(config: SineConfig, waves: Waves) -> TaskSource:
    """Training tasks: passes over the points of waves."""
    shape, stream = task_shape(config), Stream(config.seed, Purpose.TRAIN)
    table = (tf.constant(waves.inputs),)

    def prepare(chunk: Chunk) -> TaskBatch:
        tasks, steps = range(config.meta_batch), range(chunk.start, chunk.stop)
        return TaskBatch(table, draw_waves(waves, shape, stream, steps, tasks))

    return TaskSource(prepare, longest_call(config))


def train_run(experiment: SineExperiment, quiet: bool = False) -> None:
    """Outer steps to the end of the run; `quiet`: with nothing but a progress bar."""
    config, waves, learner, evaluator, run = experiment
    with WaveMonitor(evaluator, run, quiet) as monitor:
        train(config, wave_tasks(config, waves), learner, run, monitor)


def initial_state(config: SineConfig) -> Initialization:
    """The random initialization of the run of `config`."""
    weights = tf.constant(initial_mlp_weights(network(config), config.seed))
    return Initialization(weights, tf.zeros_like(weights), tf.constant(0, tf.int64))


def evaluate_run(experiment: SineExperiment) -> np.ndarray:
    """Store losses on new waves, and return them: float64 [waves, inner steps + 1]."""
    config, _, _, evaluator, run = experiment
    losses = evaluator.losses_on_new()
    before, after = loss(losses[:, 0]), loss(losses[:, -1])
    plotted = evaluator.monitor(run.step)["loss"]
    evaluation: dict[str, Any] = {
        "settings": evaluation_settings(config),
        "loss": {"plotted": plotted, "before": before._asdict(), "after": after._asdict()},
        "outer_steps": run.step,
        "training_seconds": round(run.training_seconds, 2),
    }
    run.write_results(evaluation, {"loss": losses})
    return losses


def evaluation_settings(config: SineConfig) -> dict[str, Any]:
    """What distinguishes evaluations of the same weights, as results.json keeps it."""
    names = "shots", "eval_batch", "eval_steps", "eval_episodes", "eval_seed"
    return {name: getattr(config, name) for name in names}
