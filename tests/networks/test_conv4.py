"""Networks against NumPy loops, and the weights they start from."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import small_problem as small
import tensorflow as tf
from slow_reference import named_parts, network

from supervised_reptile.networks import patch_moments
from supervised_reptile.networks.conv4 import (
    ConvNet,
    Reading,
    conv4,
    encoder,
    flatten,
    grouping,
    initial_weights,
    logits,
    miniimagenet_net,
    omniglot_net,
    own_images_net,
    split,
    unflatten,
    unpack,
)

OMNIGLOT = omniglot_net((28, 28, 1), way=5)
MINIIMAGENET = miniimagenet_net((84, 84, 3), way=5)
PUBLISHED = [OMNIGLOT, MINIIMAGENET]
BYTES = Reading(one=255)


def encoded(net: ConvNet, images: np.ndarray, dtype: tf.DType) -> tuple[tf.Tensor, ...]:
    """What a network gets of uint8 images."""
    columns = encoder(net, len(images))(images, np.arange(len(images)))
    return tuple(tf.cast(column, dtype) for column in columns)


def scores(
    net: ConvNet, weights: np.ndarray, images: np.ndarray, reading: Reading = BYTES
) -> np.ndarray:
    """Of uint8 images."""
    parts = unflatten(net, tf.constant(weights))
    return logits(net, parts, encoded(net, images, weights.dtype), reading).numpy()


def random_images(count: int, net: ConvNet, largest: int = 255) -> np.ndarray:
    shape = (count, *net.image_shape)
    return np.random.default_rng(2).integers(0, largest + 1, shape).astype(np.uint8)


def test_shapes_of_the_omniglot_network() -> None:
    shapes = dict(OMNIGLOT.shapes)
    assert list(shapes)[:4] == ["block0/kernel", "block0/gamma", "block0/beta", "block1/kernel"]
    assert shapes["block0/kernel"] == (3, 3, 1, 64)
    assert all(shapes[f"block{b}/kernel"] == (3, 3, 64, 64) for b in (1, 2, 3))
    assert shapes["block3/gamma"] == shapes["block3/beta"] == (64,)
    assert shapes["dense/kernel"] == (256, 5)
    assert shapes["dense/bias"] == (5,)
    assert len(shapes) == 4 * 3 + 2
    assert OMNIGLOT.size == 9 * 64 + 3 * 9 * 64 * 64 + 4 * 2 * 64 + 256 * 5 + 5


def test_shapes_of_the_miniimagenet_network() -> None:
    shapes = dict(MINIIMAGENET.shapes)
    assert shapes["block0/kernel"] == (3, 3, 3, 32)
    assert all(shapes[f"block{b}/kernel"] == (3, 3, 32, 32) for b in (1, 2, 3))
    assert shapes["dense/kernel"] == (1152, 5)
    assert len(shapes) == 4 * 3 + 2
    assert MINIIMAGENET.size == 27 * 32 + 3 * 9 * 32 * 32 + 4 * 2 * 32 + 1152 * 5 + 5


def test_own_images_take_the_network_of_their_size() -> None:
    assert own_images_net((32, 20, 3), 4) == omniglot_net((32, 20, 3), 4)
    assert own_images_net((33, 20, 3), 4) == miniimagenet_net((33, 20, 3), 4)


@pytest.mark.parametrize("net", [*PUBLISHED, omniglot_net((28, 28, 1), way=20)])
def test_initial_weights(net: ConvNet) -> None:
    weights = initial_weights(net, seed=0)
    assert weights.shape == (net.size,)
    assert weights.dtype == np.float32
    for name, part in named_parts(net, weights).items():
        if not name.endswith("kernel"):
            assert np.all(part == (1 if name.endswith("gamma") else 0)), name
            continue
        fans = math.prod(part.shape[:-2]) * (part.shape[-2] + part.shape[-1])
        limit = math.sqrt(6 / fans)
        assert 0.98 * limit < np.abs(part).max() <= limit * (1 + 1e-6), name
        spread = limit / math.sqrt(3 * part.size)  # of the mean
        assert abs(part.mean()) < 4 * spread, name
        assert part.std() == pytest.approx(limit / math.sqrt(3), rel=0.1), name


def test_initial_weights_are_a_function_of_the_seed() -> None:
    weights = initial_weights(OMNIGLOT, seed=3)
    assert np.array_equal(weights, initial_weights(OMNIGLOT, seed=3))
    assert not np.array_equal(weights, initial_weights(OMNIGLOT, seed=4))
    assert np.unique(weights[:576]).size == 576  # no kernel repeats


def test_initial_weights_are_pinned_for_good() -> None:
    pinned = [0.010860093869268894, 0.024953549727797508, -0.026725418865680695]
    np.testing.assert_array_equal(initial_weights(OMNIGLOT, 0)[:3], np.float32(pinned))


@pytest.mark.parametrize("net", [*PUBLISHED, small.NET])
def test_unflatten_and_flatten_are_inverse(net: ConvNet) -> None:
    weights = initial_weights(net, seed=1)
    parts = unflatten(net, tf.constant(weights))
    for part, (name, expected) in zip(parts, named_parts(net, weights).items(), strict=True):
        np.testing.assert_array_equal(part, expected, err_msg=name)
    np.testing.assert_array_equal(flatten(parts), weights)


@pytest.mark.parametrize("net", [*PUBLISHED, small.NET])
def test_the_plain_network_and_the_fast_one_agree(net: ConvNet) -> None:
    """Scores and their gradients."""
    weights, images = tf.constant(small.some_weights(net)), random_images(4, net)
    plain = partial(conv4, net, images=tf.constant(images / 255))
    fast = partial(logits, net, encoded=encoded(net, images, tf.float64), reading=BYTES)
    found = []
    for network_of in (plain, fast):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            result = network_of(parts=unflatten(net, weights))
            value = tf.reduce_sum(tf.square(result))
        found.append((result, tape.gradient(value, weights)))
    for one, other in zip(*found, strict=True):
        # Of Mini-ImageNet's patches the fast form has the moments in float32.
        assert np.linalg.norm(one - other) < 1e-5 * np.linalg.norm(other)


@pytest.mark.parametrize("net", [*PUBLISHED, small.NET])
def test_inner_steps_see_large_kernels_apart(net: ConvNet) -> None:
    weights = initial_weights(net, seed=1)
    groups = split(net, tf.constant(weights))
    large = [name for name, part in named_parts(net, weights).items() if part.size >= 2**14]
    assert len(groups) == 1 + len(large)
    assert sum(len(group) for group in groups) == net.size
    for part, (name, expected) in zip(
        unpack(net, groups), named_parts(net, weights).items(), strict=True
    ):
        np.testing.assert_array_equal(part, expected, err_msg=name)
    np.testing.assert_array_equal(grouping(net).join(groups), weights)


def test_large_kernels_of_the_omniglot_network() -> None:
    groups = split(OMNIGLOT, tf.constant(initial_weights(OMNIGLOT, seed=1)))
    assert [len(group) for group in groups[1:]] == [9 * 64 * 64] * 3


def test_pixels_up_to_255_are_read_as_those_up_to_1() -> None:
    for net in (OMNIGLOT, miniimagenet_net((16, 16, 3), 5)):
        bits, weights = random_images(3, net, largest=1), small.some_weights(net)
        bytes_read = scores(net, weights, 255 * bits, Reading(one=255))
        small.assert_close(bytes_read, scores(net, weights, bits, Reading(one=1)))


@pytest.mark.parametrize("pooling", [False, True])
@pytest.mark.parametrize("shape", [(8, 8, 1), (7, 10, 2), (5, 4, 3), (9, 9, 1)])
def test_scores_are_those_of_numpy_loops(pooling: bool, shape: tuple[int, int, int]) -> None:
    net = ConvNet(shape, way=3, filters=2, pooling=pooling, blocks=3)
    weights = small.some_weights(net)
    images = random_images(4, net)
    slow = network(net, weights, images / 255)
    assert slow.shape == (4, 3)
    for products in (False, True):
        fast = scores(net, weights, images, Reading(255, products=products))
        np.testing.assert_allclose(fast, slow, rtol=0, atol=1e-10)


def test_images_too_many_for_moments_are_read_without(monkeypatch: pytest.MonkeyPatch) -> None:
    net = miniimagenet_net((9, 8, 2), way=3)
    images, weights = random_images(4, net), small.some_weights(net)
    with_moments = scores(net, weights, images)
    assert len(encoded(net, images, tf.float64)) == 2
    monkeypatch.setattr(patch_moments, "REMEMBERED_BYTES", 100)
    assert len(encoded(net, images, tf.float64)) == 1
    small.assert_close(scores(net, weights, images), with_moments)


def test_the_published_networks_have_four_blocks_of_the_right_kind() -> None:
    for net in (omniglot_net((16, 16, 1), 5), miniimagenet_net((16, 16, 1), 5)):
        images = random_images(2, net)
        assert net.blocks == 4
        assert net.pooling == (net.filters == 32)
        weights = small.some_weights(net)
        small.assert_close(scores(net, weights, images), network(net, weights, images / 255))


@pytest.mark.parametrize("net", PUBLISHED)
def test_float32_scores_are_near_those_of_float64(net: ConvNet) -> None:
    images, reading = random_images(6, net, largest=1), Reading(one=1)
    weights = small.some_weights(net).astype(np.float32)
    exact = scores(net, weights.astype(np.float64), images, reading)
    fused = scores(net, weights, images, reading)
    assert fused.dtype == np.float32
    assert np.abs(exact).max() > 1
    np.testing.assert_allclose(fused, exact, rtol=0, atol=1e-4)


@pytest.mark.parametrize("net", PUBLISHED)
def test_bfloat16_is_for_activations_only(net: ConvNet) -> None:
    images = encoded(net, random_images(10, net), tf.float32)
    weights = tf.constant(initial_weights(net, 0))
    moves = {}
    for compute in (tf.float32, tf.bfloat16):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            result = logits(net, unflatten(net, weights), images, Reading(255, compute))
            loss = tf.reduce_sum(result[:, 0] - result[:, 1])
        moves[compute] = result, tape.gradient(loss, weights)
    for exact, rounded in zip(*moves.values(), strict=True):
        assert rounded.dtype == tf.float32
        error = np.linalg.norm(rounded - exact) / np.linalg.norm(exact)
        assert 1e-4 < error < 0.2  # 8 bits flip some ReLUs


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_image_is_judged_in_the_company_of_its_batch(dtype: type) -> None:
    images = small.IMAGES[:7]
    weights = small.some_weights().astype(dtype)
    together = scores(small.NET, weights, images)
    assert np.abs(together[:3] - scores(small.NET, weights, images[:3])).max() > 0.01
    doubled = scores(small.NET, weights, np.concatenate([images, images]))
    np.testing.assert_allclose(doubled[:7], together, rtol=0, atol=1e-5)
    turned = scores(small.NET, weights, images[::-1])
    np.testing.assert_allclose(turned[::-1], together, rtol=0, atol=1e-5)
