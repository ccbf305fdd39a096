"""The form for accelerators: tasks in one stack, a call in one XLA program.

There may be no accelerator here; the same program compiles for the processor, and computes what
the processor's own form computes.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import small_problem as small
import tensorflow as tf
from test_evaluate import MODES
from test_evaluate import SHAPE as EPISODE
from test_outer_loop import ALGORITHMS, RULES, STEP_SIZES

from supervised_reptile.algorithms.inner_loop import Examples, InnerRule
from supervised_reptile.algorithms.learner import Learner
from supervised_reptile.algorithms.outer_loop import TrainingTasks, outer_steps
from supervised_reptile.algorithms.outer_optimizers import OPTIMIZERS
from supervised_reptile.config import PRESETS, Config
from supervised_reptile.networks.conv4 import (
    ConvNet,
    encoder,
    miniimagenet_net,
    omniglot_net,
)
from supervised_reptile.training import experiment


def stacked_learner(rule: InnerRule) -> Learner:
    """As `small.small_learner`, in the other form."""
    learner = Learner(small.stacked(rule), small.some_weights(), xla=True)
    same = small.small_learner(rule)
    learner.second_moment.assign(same.second_moment)
    learner.time.assign(same.time)
    return learner


@pytest.mark.parametrize(
    ("algorithm", "rule"),
    [("reptile", "adam with decay"), ("foml with a tail of its own", "sgd")],
)
def test_training(algorithm: str, rule: str) -> None:
    tasks = small.task_batch(small.small_tasks(ALGORITHMS[algorithm], steps=2, tasks=3))
    one, other = stacked_learner(RULES[rule]), small.small_learner(RULES[rule])
    for learner in (one, other):
        assert learner.train(tasks, STEP_SIZES) == 2
    for mine, theirs in zip(small.flat(one.state), small.flat(other.state), strict=True):
        small.assert_close(mine, theirs)
    assert np.abs(one.weights - small.some_weights()).max() > 1e-3


def test_evaluation() -> None:
    episodes = small.task_batch(small.small_tasks(EPISODE, steps=1, tasks=11))
    one, other = (
        learner.count_correct(episodes, MODES)
        for learner in (stacked_learner(small.ADAM), small.small_learner(small.ADAM))
    )
    for mode in MODES:
        assert one[mode].tolist() == other[mode].tolist()
        assert len(set(one[mode])) > 2


@pytest.fixture
def on_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "on_accelerator", lambda: True)


def step_of(name: str) -> tuple[tf.types.experimental.GenericFunction, tuple]:
    """One outer step of a setting of the paper, to be compiled by XLA, and its arguments."""
    config = Config(**PRESETS[name])
    mini = name.startswith("mini")
    make: type[ConvNet] = miniimagenet_net if mini else omniglot_net
    net = make((84, 84, 3) if mini else (28, 28, 1), config.way)
    learner = experiment.make_learner(config, net, 255)
    images = np.zeros((2, *net.image_shape), np.uint8)
    table = tuple(map(tf.constant, encoder(net, 2)(images, np.arange(2))))
    rows = tf.zeros((1, config.meta_batch, config.inner_steps, config.inner_batch), tf.int32)
    no_tail = tf.zeros((1, config.meta_batch, 0), tf.int32)
    tasks = TrainingTasks(Examples(rows, rows), Examples(no_tail, no_tail))
    step = tf.function(
        partial(outer_steps, learner.meta_batch, OPTIMIZERS["sgd"]), jit_compile=True
    )
    return step, (learner.outer_state, table, (tasks, tf.constant([0.5])), tf.constant(1))


@pytest.mark.parametrize("name", PRESETS)
def test_every_setting_is_one_program_without_the_host(on_accelerator: None, name: str) -> None:
    """XLA takes the whole step, which it does not where an operation needs the host."""
    step, arguments = step_of(name)
    program = step.experimental_get_compiler_ir(*arguments)(stage="hlo")
    assert program.count("\nENTRY ") == 1
    assert " while(" in program  # inner steps are a loop on the device
    for host in ("infeed", "outfeed", "send(", "recv(", "custom-call"):
        assert host not in program


COMPILED = [n if n == "omniglot-5way" else pytest.param(n, marks=pytest.mark.soak) for n in PRESETS]


@pytest.mark.parametrize("name", COMPILED)
def test_every_setting_compiles(on_accelerator: None, name: str) -> None:
    step, arguments = step_of(name)
    assert step.experimental_get_compiler_ir(*arguments)(stage="optimized_hlo")


def test_no_operation_is_pinned_to_the_processor(on_accelerator: None) -> None:
    step, arguments = step_of("omniglot-5way")
    graph = step.get_concrete_function(*arguments).graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    assert len(nodes) > 500
    assert {node.device for node in nodes} == {""}
