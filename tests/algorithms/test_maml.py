"""MAML's update: against finite differences, an unrolled computation, FOML and float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import small_problem as small
import tensorflow as tf
from command_line import TINY, assert_same_state, call, drawn_alphabets, flags
from interruptions import STOPPED
from slow_reference import SlowLearner, Task, slow_tasks
from test_outer_loop import ORDERS, STEP_SIZES, assert_same, some_batch, train_slowly

from supervised_reptile.algorithms.execution import SideBySide, Stacked
from supervised_reptile.algorithms.image_feed import TaskBatch
from supervised_reptile.algorithms.inner_loop import InnerRule, InnerState, Problem, inner_step
from supervised_reptile.algorithms.learner import Learner
from supervised_reptile.algorithms.meta_batch import MetaBatch
from supervised_reptile.config import PRESETS, Config
from supervised_reptile.data.episodes import Tasks, TaskShape, foml_shape
from supervised_reptile.networks.conv4 import ConvNet, encoder, miniimagenet_net, omniglot_net
from supervised_reptile.training import experiment
from supervised_reptile.training.loop import longest_call, plan_chunks

FOUR_STEPS = TaskShape(way=3, shots=4, steps=4, batch=5)
SHAPES = {
    "cycling": foml_shape(FOUR_STEPS, None),
    "with a tail of its own": foml_shape(FOUR_STEPS, 2),
    "with replacement": foml_shape(FOUR_STEPS._replace(replacement=True), None),
    "one inner step before the tail": foml_shape(FOUR_STEPS._replace(steps=2), None),
    "nothing but a tail": foml_shape(FOUR_STEPS._replace(steps=1), None),
}
RULES = {"sgd": small.SGD, "sgd with decay": small.SGD._replace(weight_decay=0.9)}
FAST = small.SGD._replace(learning_rate=0.05)


def update(rule: InnerRule, tasks: Tasks, second_order: bool) -> np.ndarray:
    """The way that one outer step of size 1 moves the weights, float64 [P]."""
    learner = small.small_learner(rule, second_order=second_order)
    assert learner.train(small.task_batch(tasks), np.ones(1)) == 1
    return learner.weights.numpy() - small.some_weights()


# Every shape and every order as the others are by default, and the other rule.
TWO_STEPS = [
    *((shape, "chained", "sgd") for shape in SHAPES),
    *(("with a tail of its own", order, "sgd with decay") for order in ORDERS),
]


@pytest.mark.parametrize(("shape", "order", "rule"), TWO_STEPS)
def test_two_outer_steps(shape: str, order: str, rule: str) -> None:
    tasks = small.small_tasks(SHAPES[shape], steps=2, tasks=2)
    learner = small.small_learner(RULES[rule], order, second_order=True)
    assert learner.train(small.task_batch(tasks), STEP_SIZES) == 2
    slow = train_slowly(RULES[rule], order, tasks, STEP_SIZES, second_order=True)
    assert_same(learner, slow)


def tail_loss(rule: InnerRule, task: Task, weights: np.ndarray) -> float:
    """The tail's loss after the inner steps before it."""
    _, second_moment, time = small.flat(small.some_state())
    slow = SlowLearner(small.classifier(rule), weights, second_moment, time)
    for batch in task.batches:
        slow.inner_step(batch)
    outputs = slow.outputs(tf.constant(slow.weights), task.tail.inputs)
    return float(slow.problem.loss(tf.constant(task.tail.labels), outputs))


def test_the_update_is_the_slope_of_the_tails_loss_after_the_inner_steps() -> None:
    """By finite differences of the loss itself: nothing here is differentiated but inner steps."""
    tasks = small.small_tasks(SHAPES["with a tail of its own"], steps=1, tasks=1)
    (task,) = slow_tasks(tasks, some_batch)
    mine, start = update(FAST, tasks, second_order=True), small.some_weights()
    first_order = update(FAST, tasks, second_order=False)
    random = np.random.default_rng(0)
    for _ in range(8):
        direction = random.normal(size=len(start))
        ahead, behind = (tail_loss(FAST, task, start + s * direction) for s in (1e-6, -1e-6))
        slope = -FAST.learning_rate * (ahead - behind) / 2e-6
        assert mine @ direction == pytest.approx(slope, rel=1e-5, abs=1e-8)
        assert abs(first_order @ direction - slope) > 1e-3


@pytest.mark.parametrize("rule", RULES)
def test_unrolled_without_loops_and_graphs(rule: str) -> None:
    """The update is the gradient of one expression, written out step by step."""
    tasks = small.small_tasks(SHAPES["cycling"], steps=1, tasks=2)
    problem, start = small.classifier(RULES[rule]), small.some_state()
    sums = np.zeros(small.NET.size)
    for task in slow_tasks(tasks, some_batch):
        with tf.GradientTape() as tape:
            tape.watch(start.weights)
            state = start
            for batch in task.batches:
                inputs = tuple(map(tf.constant, batch.inputs))
                state = inner_step(problem, state, inputs, tf.constant(batch.labels))
            inputs = tuple(map(tf.constant, task.tail.inputs))
            after = inner_step(problem, state, inputs, tf.constant(task.tail.labels))
            moved = tf.stop_gradient(after.weights[0] - state.weights[0])
            value = tf.reduce_sum(moved * state.weights[0])
        sums += tape.gradient(value, start.weights)[0].numpy()
    small.assert_close(update(RULES[rule], tasks, second_order=True), sums / 2)


def first_order(problem: Problem) -> Problem:
    """`problem`, with gradients that are constants to whoever differentiates them."""

    def predict(weights: tuple[tf.Tensor, ...], inputs: tuple[tf.Tensor, ...]) -> tf.Tensor:
        @tf.custom_gradient
        def outputs(*weights: tf.Tensor):
            with tf.GradientTape() as tape:
                tape.watch(weights)
                result = problem.predict(weights, inputs)

            def gradient(upstream: tf.Tensor) -> list[tf.Tensor]:
                upstream = tf.stop_gradient(upstream)
                return list(map(tf.stop_gradient, tape.gradient(result, weights, upstream)))

            return result, gradient

        return outputs(*map(tf.identity, weights))

    return problem._replace(predict=predict)


def test_without_its_second_derivatives_maml_is_foml() -> None:
    tasks = small.task_batch(small.small_tasks(SHAPES["cycling"], steps=2, tasks=2))
    foml = small.small_learner(small.SGD)
    meta_batch = MetaBatch(first_order(foml.problem), second_order=True)
    maml = Learner(meta_batch, small.some_weights())
    for learner in (foml, maml):
        learner.train(tasks, STEP_SIZES)
    small.assert_close(maml.weights, foml.weights)


def test_the_smaller_the_rate_the_more_maml_is_foml() -> None:
    """Their difference is of the first order in the rate (section 5 of the paper)."""
    tasks = small.small_tasks(SHAPES["cycling"], steps=1, tasks=2)
    shares = []
    for rate in (1e-3, 1e-5):
        first, second = (
            update(small.SGD._replace(learning_rate=rate), tasks, o) for o in (False, True)
        )
        shares.append(np.linalg.norm(second - first) / np.linalg.norm(first))
    assert shares[0] > 1e-3
    assert shares[0] / shares[1] == pytest.approx(100, rel=0.1)


def test_nothing_but_a_tail_is_foml_exactly() -> None:
    tasks = small.small_tasks(SHAPES["nothing but a tail"], steps=1, tasks=2)
    first, second = (update(small.SGD, tasks, order) for order in (False, True))
    np.testing.assert_array_equal(first, second)


NETS = {"omniglot": omniglot_net((28, 28, 1), 3), "miniimagenet": miniimagenet_net((20, 20, 3), 3)}


@pytest.mark.parametrize("name", NETS)
def test_the_fast_layers_in_float32_agree_with_plain_ones_in_float64(name: str) -> None:
    """Their second derivatives, that is: oneDNN's convolutions, fused batch norm, max-pooling."""
    net = NETS[name]
    tasks = small.small_tasks(foml_shape(FOUR_STEPS._replace(steps=3), None), steps=1, tasks=1)
    exact = real_update(net, tasks, np.float64, second_order=True)
    foml = real_update(net, tasks, np.float64, second_order=False)
    rounded = real_update(net, tasks, np.float32, second_order=True)
    assert np.linalg.norm(rounded - exact) < 1e-3 * np.linalg.norm(exact)
    assert np.linalg.norm(foml - exact) > 0.05 * np.linalg.norm(exact)


def real_update(net: ConvNet, tasks: Tasks, dtype: type, second_order: bool) -> np.ndarray:
    """As `update`, of a network of the paper's on noise for images."""
    shape = (len(small.IMAGES), *net.image_shape)
    images = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    table = tuple(map(tf.constant, encoder(net, len(images))(images, np.arange(len(images)))))
    problem = small.classifier(InnerRule(1e-3, sgd=True), net)
    start = small.some_weights(net).astype(dtype)
    learner = Learner(MetaBatch(problem, second_order=second_order), start)
    learner.train(TaskBatch(table, tasks), np.ones(1))
    return learner.weights.numpy() - start


def test_adams_moment_is_left_alone_and_time_goes_on() -> None:
    tasks = small.small_tasks(SHAPES["cycling"], steps=2, tasks=2)
    learner = small.small_learner(small.SGD, second_order=True)
    learner.train(small.task_batch(tasks), STEP_SIZES)
    before: InnerState = small.some_state()
    np.testing.assert_array_equal(learner.second_moment, before.second_moment[0])
    assert learner.time.numpy() == before.time.numpy() + 2 * 2 * 4


def test_on_accelerators_tasks_are_not_stacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """XLA's stack of them cannot be differentiated; side by side they run everywhere."""
    monkeypatch.setattr(experiment, "on_accelerator", lambda: True)
    forms = {}
    for algorithm in ("foml", "maml"):
        config = Config(**{**PRESETS["omniglot-5way"], "algorithm": algorithm, "sgd": True})
        learner = experiment.make_learner(config, NETS["omniglot"], 1)
        forms[algorithm] = type(learner.meta_batch.execution)
    assert forms == {"foml": Stacked, "maml": SideBySide}


def test_a_call_is_as_short_as_others_although_steps_are_slower() -> None:
    """Ctrl-C is heard between calls."""
    lengths = {}
    for algorithm in ("foml", "maml"):
        config = Config(**{**PRESETS["omniglot-5way"], "algorithm": algorithm, "sgd": True})
        chunks = list(
            plan_chunks(
                config, longest_call(config, (28, 28, 1)), monitor_interval=10**6, first_step=1
            )
        )
        assert chunks[-1].stop == config.outer_steps
        lengths[algorithm] = max(chunk.stop - chunk.start for chunk in chunks)
    assert lengths == {"foml": 100, "maml": 25}


# ---- through the command line

MAML = [*TINY, *flags(algorithm="maml", sgd=True, learning_rate=0.01, meta_step=1, eval_iters=2)]


def test_it_learns(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    """Fifty times as many outer steps make a better initialization."""
    data, accuracies = drawn_alphabets(tmp_path_factory), []
    for outer_steps in (3, 150):
        place = flags(data_dir=data, checkpoint=tmp_path / str(outer_steps))
        place += flags(eval_samples=200, eval_splits="test")
        outcome = call(*MAML, *place, *flags(meta_iters=outer_steps, inner_iters=3, foml_tail=2))
        assert outcome.code == 0, outcome.err
        accuracies.append(float(outcome.accuracies[-1].split()[2]))
    assert accuracies[1] > accuracies[0] + 0.1


@pytest.mark.soak
def test_resuming(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    data = drawn_alphabets(tmp_path_factory)
    place = flags(data_dir=data, eval_samples=2, save_interval=30)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert call(*MAML, *place, *flags(checkpoint=whole)).code == 0
    assert call(*MAML, *place, *flags(checkpoint=parts), cue=STOPPED).code == 130
    assert call(*place, *flags(checkpoint=parts, resume=True)).code == 0
    assert_same_state(parts, whole)
