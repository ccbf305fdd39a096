"""The paper's section 5.1 on a small smooth problem: what inner steps add to the gradient followed.

With inner SGD of rate a on distinct mini-batches of a task, in random order, the gradient that an
algorithm follows in expectation is, in terms of the gradients g and Hessians H of mini-batches at
the initialization,

    c1 AvgGrad + c2 AvgGradInner + O(a^2),    AvgGrad = E[g1],  AvgGradInner = E[H2 g1],

and AvgGradInner is half the gradient of E[g1 . g2]. Here the problem is so small that the
expectation is a sum over all tasks and all ordered choices of mini-batches; the updates are those
of the program's own inner and outer steps.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import numpy as np
import tensorflow as tf

from supervised_reptile.algorithms.gradients import batch_gradients
from supervised_reptile.algorithms.inner_loop import (
    Examples,
    InnerRule,
    InnerState,
    Inputs,
    InputTable,
    Problem,
    summed_cross_entropy,
)
from supervised_reptile.algorithms.outer_loop import TrainingTasks, run_tasks
from supervised_reptile.data.dataset import ClassPool
from supervised_reptile.data.episodes import Purpose, Stream, TaskShape, sample_tasks
from supervised_reptile.networks.weights import Weights, zeros_like

CLASSES, POINTS = 8, 8  # clouds of points in the plane
SHAPE = TaskShape(way=3, shots=8, steps=6, batch=4)  # six mini-batches that share no example
TASKS = 3
# Inner rates: where higher orders matter little and rounding does not yet. Halved each time.
RATES = 2.0 ** -np.arange(8, 15)
STEPS = range(2, 7)  # inner steps, k
TOLERANCE = 1e-6  # of coefficients, relative to the predicted one or to 1
ORDER_TOLERANCE = 0.02  # of the exponent in remainder ~ rate^2
ROUNDING = 1e-10  # remainders below are rounding, in units of AvgGrad's length
HIDDEN = 4  # units of the network: 2 -> 4 tanh -> 3 scores
SIZES = (2 * HIDDEN, HIDDEN, HIDDEN * SHAPE.way, SHAPE.way)


class Batches(NamedTuple):
    """`Examples` as arrays, int32."""

    rows: np.ndarray
    labels: np.ndarray


class Orders(NamedTuple):
    """`TrainingTasks` as arrays."""

    batches: Batches  # [..., steps, batch]
    tail: Batches  # [..., tail]


class SmoothProblem(NamedTuple):
    """A few tasks of a smooth problem and the initialization, float64."""

    weights: Weights  # one vector [P]
    table: InputTable
    batches: Batches  # [tasks, mini-batches, batch]


def smooth_problem(seed: int = 0) -> SmoothProblem:
    """Tasks drawn as in training, from clouds of points instead of characters."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(CLASSES, 1, 2))
    points = (centres + 0.7 * random.normal(size=(CLASSES, POINTS, 2))).reshape(-1, 2)
    pool = ClassPool(np.arange(CLASSES) * POINTS, np.full(CLASSES, POINTS), ("",) * CLASSES)
    tasks = sample_tasks(pool, SHAPE, Stream(seed, Purpose.TRAIN), range(1), range(TASKS))
    weights = tf.constant(0.7 * random.normal(size=sum(SIZES)))
    return SmoothProblem((weights,), (tf.constant(points),), Batches(tasks.rows, tasks.labels))


def predict(weights: Weights, inputs: Inputs) -> tf.Tensor:
    """Scores [n, way] of points [n, 2]: one hidden layer, smooth everywhere."""
    first, shift, second, bias = tf.split(weights[0], SIZES)
    hidden = tf.tanh(inputs[0] @ tf.reshape(first, [2, HIDDEN]) + shift)
    return hidden @ tf.reshape(second, [HIDDEN, SHAPE.way]) + bias


def problem(rate: tf.Tensor | float) -> Problem:
    """The problem under plain SGD of that rate, on the program's inner loss."""
    return Problem(predict, summed_cross_entropy, InnerRule(rate, sgd=True))


# ---- the two directions


def directions(smooth: SmoothProblem) -> np.ndarray:
    """AvgGrad and AvgGradInner, float64 [2, P]: means over tasks and pairs of mini-batches."""
    tasks, count, batch = smooth.batches.rows.shape
    flat = Examples(*(tf.constant(array.reshape(-1, batch)) for array in smooth.batches))

    @tf.function(autograph=False)
    def derivatives() -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(smooth.weights)
            gradients = batch_gradients(problem(0.0), smooth.weights, smooth.table, flat)
        return gradients, tape.jacobian(gradients, smooth.weights[0])

    gradients, hessians = (d.numpy() for d in derivatives())
    gradients = gradients.reshape(tasks, count, -1)  # [tasks, mini-batches, P]
    hessians = hessians.reshape(tasks, count, *hessians.shape[1:])  # [..., P, P]
    products = np.einsum("tjpq,tiq->tijp", hessians, gradients)  # H_j g_i
    different = ~np.eye(count, dtype=bool)
    return np.stack([gradients.mean(axis=(0, 1)), products[:, different].mean(axis=(0, 1))])


# ---- what the algorithms follow


class Method(NamedTuple):
    """An algorithm, and the gradient it follows according to the paper."""

    steps: Sequence[int]  # k, the inner steps to try
    predicted: Callable[[int], tuple[float, float]]  # k -> (c1, c2 / rate)
    tail: bool = False  # whether the last of its inner batches is a tail
    second_order: bool = False  # whether its update goes back through the inner steps


METHODS = {
    "joint training": Method((1,), lambda k: (1, 0)),
    "FOML": Method(STEPS, lambda k: (1, -(k - 1)), tail=True),
    "MAML": Method(STEPS, lambda k: (1, -2 * (k - 1)), tail=True, second_order=True),
    "Reptile": Method(STEPS, lambda k: (k, -k * (k - 1) / 2)),
}


def all_orders(batches: Batches, steps: int, tail: bool) -> Orders:
    """Every ordered choice of `steps` distinct mini-batches of each task, [tasks * orders, ...]."""
    orders = np.array(list(itertools.permutations(range(batches.rows.shape[1]), steps)))
    chosen = [array[:, orders].reshape(-1, *orders.shape[1:], array.shape[-1]) for array in batches]
    if not tail:
        none = np.zeros([len(chosen[0]), 0], np.int32)
        return Orders(Batches(*chosen), Batches(none, none))
    return Orders(
        Batches(*(array[:, :-1] for array in chosen)),
        Batches(*(array[:, -1] for array in chosen)),
    )


class ExpectedGradient:
    """The expected gradient that a method follows, compiled once for all rates and inner steps."""

    def __init__(self, smooth: SmoothProblem, method: Method) -> None:
        self._smooth, self._method = smooth, method
        batch = smooth.batches.rows.shape[-1]
        # TensorSpecs in place of the tensors
        inner = cast(tf.Tensor, tf.TensorSpec([None, None, batch], tf.int32))
        tail = cast(tf.Tensor, tf.TensorSpec([None, batch if method.tail else 0], tf.int32))
        tasks = TrainingTasks(Examples(inner, inner), Examples(tail, tail))
        signature = (tf.TensorSpec([], tf.float64), tasks)
        graph = tf.function(self._mean_gradient, autograph=False)
        self._mean = graph.get_concrete_function(*signature)

    def __call__(self, steps: int, rates: np.ndarray) -> np.ndarray:
        """The mean over all tasks and orders at each of `rates`, float64 [rates, P]."""
        tasks = all_orders(self._smooth.batches, steps, self._method.tail)
        tensors = TrainingTasks(*(Examples(*map(tf.constant, part)) for part in tasks))
        return np.array([self._mean(tf.constant(rate), tensors).numpy() for rate in rates])

    def _mean_gradient(self, rate: tf.Tensor, tasks: TrainingTasks) -> tf.Tensor:
        weights = self._smooth.weights
        start = InnerState(weights, zeros_like(weights), tf.constant(0, tf.int64))
        second_order = self._method.second_order

        def update(task: TrainingTasks) -> Weights:
            tasks = tf.nest.map_structure(lambda array: array[None], task)
            (result,) = run_tasks(problem(rate), start, self._smooth.table, tasks, second_order)
            return result.update

        updates = tf.vectorized_map(update, tasks, fallback_to_while_loop=False)
        return -tf.reduce_mean(updates[0], axis=0) / rate


# ---- compared with the prediction


class Measurement(NamedTuple):
    """The expected gradient of one method at each of RATES."""

    method: str
    steps: int
    predicted: tuple[float, float]  # c1, c2 / rate
    directions: np.ndarray  # [2, P]: AvgGrad, AvgGradInner
    gradients: np.ndarray  # [rates, P]

    @property
    def coefficients(self) -> np.ndarray:
        """c1 and c2 / rate at each rate, by least squares, [rates, 2]."""
        found = np.linalg.lstsq(self.directions.T, self.gradients.T, rcond=None)[0].T
        return found / np.stack([np.ones_like(RATES), RATES], axis=1)

    @property
    def limits(self) -> np.ndarray:
        """`coefficients` extrapolated to rate 0, [2]."""
        return at_zero(RATES, self.coefficients)

    @property
    def remainders(self) -> np.ndarray:
        """What the prediction leaves unexplained, in units of AvgGrad's length, [rates]."""
        return self.distances(self.predicted)

    def distances(self, coefficients: tuple[float, float]) -> np.ndarray:
        """From the gradient to the combination (c1, c2 / rate), in those units, [rates]."""
        c1, c2 = coefficients
        claimed = c1 * self.directions[0] + c2 * RATES[:, None] * self.directions[1]
        lengths = np.linalg.norm(self.gradients - claimed, axis=1)
        return lengths / np.linalg.norm(self.directions[0])

    @property
    def order(self) -> float | None:
        """The p of remainder ~ rate^p, by regression of the logarithms; None if there is none."""
        if self.remainders.max() < ROUNDING:
            return None
        return float(np.polyfit(np.log(RATES), np.log(self.remainders), 1)[0])

    @property
    def agrees(self) -> bool:
        """Whether coefficients and remainder agree with section 5.1."""
        scale = np.maximum(np.abs(self.predicted), 1)
        close = np.abs(self.limits - self.predicted) <= TOLERANCE * scale
        return bool(close.all()) and (self.order is None or abs(self.order - 2) <= ORDER_TOLERANCE)


def at_zero(positions: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The polynomial through all of `values` [n, ...] at `positions` [n], at 0 (Neville)."""
    left = values
    for gap in range(1, len(positions)):
        near, far = positions[gap:, None], positions[:-gap, None]
        left = (far * left[1:] - near * left[:-1]) / (far - near)
    return left[0]


def measure(smooth: SmoothProblem) -> list[Measurement]:
    """Every method with every number of inner steps."""
    found, basis = [], directions(smooth)
    for name, method in METHODS.items():
        followed = ExpectedGradient(smooth, method)
        for steps in method.steps:
            gradients = followed(steps, RATES)
            found.append(Measurement(name, steps, method.predicted(steps), basis, gradients))
    return found
