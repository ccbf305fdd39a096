"""The network of the sine waves, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import small_problem  # noqa: F401 - starts TensorFlow as the programs do
import tensorflow as tf

from supervised_reptile.networks.mlp import MLP, initial_mlp_weights, mlp_grouping, mlp_predictions

ACTIVATIONS = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0)}
NETS = [MLP(), MLP(activation="relu"), MLP(5, 3), MLP(7, 1, "relu")]


@pytest.mark.parametrize("net", NETS)
def test_predictions(net: MLP) -> None:
    weights = initial_mlp_weights(net, 1).astype(np.float64)
    x = np.linspace(-5, 5, 11)[:, None]
    parts = mlp_grouping(net).split(tf.constant(weights))
    wanted, layers = x, [part.numpy() for part in parts]
    for kernel, bias in zip(layers[:-2:2], layers[1:-2:2], strict=True):
        wanted = ACTIVATIONS[net.activation](wanted @ kernel + bias)
    wanted = wanted @ layers[-2] + layers[-1]
    found = mlp_predictions(net, parts, tf.constant(x))
    assert wanted.std() > 0.01
    np.testing.assert_allclose(found, wanted[:, 0], rtol=1e-12)


def test_the_papers_network() -> None:
    assert dict(MLP().shapes) == {
        "dense0/kernel": (1, 64), "dense0/bias": (64,), "dense1/kernel": (64, 64),
        "dense1/bias": (64,), "dense2/kernel": (64, 1), "dense2/bias": (1,),
    }  # fmt: skip
    assert MLP().size == 4353


@pytest.mark.parametrize("net", NETS)
def test_grouping_is_invertible(net: MLP) -> None:
    weights = initial_mlp_weights(net, 0)
    split, join = mlp_grouping(net)
    np.testing.assert_array_equal(join(split(tf.constant(weights))), weights)


def test_initial_weights_are_uniform_within_bounds() -> None:
    net = MLP(hidden_units=400)
    weights = initial_mlp_weights(net, 0)
    assert weights.dtype == np.float32
    parts = mlp_grouping(net).split(tf.constant(weights))
    bounds = (1, 5, 0.05, 0.05, 0.05)  # the first biases are as far apart as the inputs
    for part, bound in zip(parts, bounds, strict=False):
        assert 0.97 * bound < np.abs(part).max() <= bound
        assert np.std(part) == pytest.approx(bound / 3**0.5, rel=0.1)
        assert np.mean(part) == pytest.approx(0, abs=0.1 * bound)


def test_initial_weights_depend_on_the_seed() -> None:
    one, same, other = (initial_mlp_weights(MLP(), seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.intersect1d(one, other).size
