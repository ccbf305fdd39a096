"""Training on waves: the trainer of images, compiled as one program, against slow references."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import small_problem as small
import tensorflow as tf
from slow_reference import Batch, SlowLearner, slow_tasks

from supervised_reptile.algorithms.compiled import AnyLength
from supervised_reptile.algorithms.image_feed import TaskBatch
from supervised_reptile.algorithms.inner_loop import InnerRule, Problem, mean_squared_error
from supervised_reptile.algorithms.learner import Learner
from supervised_reptile.algorithms.meta_batch import MetaBatch
from supervised_reptile.data.episodes import Purpose, Stream, TaskShape, foml_shape
from supervised_reptile.networks.mlp import MLP, initial_mlp_weights, mlp_grouping, mlp_predictions
from supervised_reptile.paper.sine.evaluation import Adaptation, Initialization, losses
from supervised_reptile.paper.sine.waves import Waves, draw_waves

NET = MLP(hidden_units=6)
WAVES = Waves(points=20)
REPTILE = TaskShape(way=1, shots=20, steps=4, batch=5)
SHAPES = {
    "reptile": REPTILE,
    "foml": foml_shape(REPTILE, None),
    "maml": foml_shape(REPTILE, None),
    "maml with a tail of its own": foml_shape(REPTILE, 8),
}
RULES = {"sgd": InnerRule(0.05, sgd=True), "adam": InnerRule(0.01, weight_decay=0.9)}
CASES = [(name, rule) for name in SHAPES for rule in RULES if (name[0], rule) != ("m", "adam")]
SIZES = np.array([0.8, 0.5, 0.3])


def problem(rule: InnerRule) -> Problem:
    return Problem(
        lambda weights, inputs: mlp_predictions(NET, weights, inputs[0]),
        mean_squared_error,
        rule,
        mlp_grouping(NET),
    )


def learner(
    rule: InnerRule, second_order: bool = False, call_length: int = 0, dtype: type = np.float64
) -> Learner:
    weights = initial_mlp_weights(NET, 0).astype(dtype)
    meta_batch = MetaBatch(problem(rule), second_order=second_order)
    return Learner(meta_batch, weights, xla=True, call_length=call_length)


def drawn(shape: TaskShape, steps: range, meta_batch: int = 1) -> TaskBatch:
    tasks = draw_waves(WAVES, shape, Stream(1, Purpose.TRAIN), steps, range(meta_batch))
    return TaskBatch((tf.constant(WAVES.inputs),), tasks)


def wave_batch(rows: np.ndarray, labels: np.ndarray) -> Batch:
    """In float64."""
    return Batch((WAVES.inputs.astype(np.float64)[rows],), labels.astype(np.float64))


@pytest.mark.parametrize(("name", "rule"), CASES)
def test_outer_steps(name: str, rule: str) -> None:
    meta_batch = 2
    second_order = name.startswith("maml")
    fast = learner(RULES[rule], second_order)
    batch = drawn(SHAPES[name], range(3), meta_batch)
    assert fast.train(batch, SIZES) == 3
    start = initial_mlp_weights(NET, 0).astype(np.float64)
    slow = SlowLearner(fast.problem, start, np.zeros(NET.size), 0, second_order)
    tasks = slow_tasks(batch.tasks, wave_batch)
    for step, size in enumerate(SIZES):
        slow.outer_step_in_a_chain(tasks[step * meta_batch : (step + 1) * meta_batch], size)
    assert np.abs(slow.weights - start).max() > 1e-2
    small.assert_close(fast.weights, slow.weights)
    small.assert_close(fast.second_moment, slow.second_moment)
    assert fast.time.numpy() == slow.time


def test_the_loss_is_the_mean_over_the_batch() -> None:
    labels, outputs = np.array([1.0, 2, 3], np.float32), np.array([1.0, 0, 6])
    assert float(mean_squared_error(tf.constant(labels), tf.constant(outputs))) == 13 / 3


@pytest.mark.parametrize("name", ["reptile", "maml"])
def test_calls_of_any_length_end_in_the_same_bits(name: str) -> None:
    sizes = np.linspace(1, 0.1, 12)
    ends = []
    for cuts, call_length in (((0, 12), 0), ((0, 1, 6, 12), 20)):
        own = learner(RULES["sgd"], name == "maml", call_length, np.float32)
        for start, stop in itertools.pairwise(cuts):
            done = own.train(drawn(SHAPES[name], range(start, stop)), sizes[start:stop])
            assert done == stop - start
        ends.append((own.weights.numpy(), own.time.numpy()))
        assert own.traces == 1
    for weights, time in ends[1:]:
        np.testing.assert_array_equal(weights, ends[0][0])
        assert time == ends[0][1] == 12 * 4


def test_divergence_is_told_by_step_also_in_a_call_that_was_filled_up() -> None:
    own = learner(RULES["sgd"], call_length=10, dtype=np.float32)
    assert own.train(drawn(REPTILE, range(4)), np.array([0.1, 0.1, np.inf, 0.1])) == 2


# ---- fits


@pytest.mark.parametrize("rule", RULES)
def test_predictions_while_adapting(rule: str) -> None:
    kind = problem(RULES[rule])
    shape = TaskShape(way=1, shots=5, steps=3, batch=5)
    tasks = draw_waves(WAVES, shape, Stream(1, Purpose.EVALUATE), range(1), range(3))
    weights = initial_mlp_weights(NET, 2).astype(np.float64)
    moments = np.random.default_rng(0).uniform(0.1, 1, NET.size)
    start = Initialization(tf.constant(weights), tf.constant(moments), tf.constant(7, tf.int64))
    found = Adaptation(kind, WAVES.inputs)(start, tasks)
    assert found.shape == (3, 4, 20)
    everywhere = (WAVES.inputs.astype(np.float64),)
    errors = np.empty((3, 4))
    for i, task in enumerate(slow_tasks(tasks, wave_batch)):
        slow = SlowLearner(kind, weights, moments, 7)
        for step in range(4):
            wanted = slow.outputs(slow.weights, everywhere)
            small.assert_close(found[i, step], wanted)
            errors[i, step] = np.mean(np.square(wanted - tasks.query_labels[i, :, 0]))
            if step < 3:
                slow.inner_step(task.batches[step])
    np.testing.assert_allclose(losses(found, tasks), errors, rtol=1e-6)


def test_compiled_calls_take_scalars() -> None:
    double = AnyLength(lambda values, factor: values * factor)
    for length in (2, 5):
        values = double(tf.ones([length]), tf.constant(2.0))
        assert values.numpy().tolist() == [2.0] * length
    assert double.traces == 1
