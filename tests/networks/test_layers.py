"""The layers' fast forms against NumPy loops and against TensorFlow's own convolution."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import small_problem as small
import tensorflow as tf
from slow_reference import batch_norm as slow_batch_norm
from slow_reference import convolution as slow_convolution
from slow_reference import windows

from supervised_reptile.networks import layers
from supervised_reptile.networks.layers import block_of_patches, convolution, image_patches

SIZES = [(8, 8), (7, 10), (5, 4), (1, 3)]


@pytest.fixture
def random() -> np.random.Generator:
    """The same numbers in every test, whichever ran before."""
    return np.random.default_rng(7)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", SIZES)
def test_patches_are_what_a_kernel_sees(
    size: tuple[int, int], stride: int, random: np.random.Generator
) -> None:
    images = random.integers(1, 256, (3, *size, 2)).astype(np.uint8)
    patches = image_patches(images, stride)
    assert patches.dtype == np.uint8
    seen = windows(images, 3, stride, fill=0)
    assert patches.shape == (3, len(seen), 9 * 2 + 1)
    for position, window in enumerate(seen.values()):  # row by row
        np.testing.assert_array_equal(patches[:, position, :-1], window.reshape(3, -1))
    assert np.all(patches[:, :, -1] == 1)


def test_no_images_have_no_patches() -> None:
    """A worker without tasks has none."""
    assert image_patches(np.zeros((0, 8, 10, 2), np.uint8), 2).shape == (0, 4 * 5, 9 * 2 + 1)


@pytest.mark.parametrize("size", SIZES)
def test_the_block_of_patches_is_convolution_batch_norm_and_relu(
    size: tuple[int, int], random: np.random.Generator
) -> None:
    images = random.uniform(0, 1, (4, *size, 2))
    kernel, gamma = random.normal(size=(3, 3, 2, 5)), random.normal(size=5)
    beta = random.normal(size=5)
    slow = np.maximum(slow_batch_norm(slow_convolution(images, kernel, 2), gamma, beta), 0)
    patches = tf.constant(image_patches(images, 2))
    fast = block_of_patches(patches, (kernel, gamma, beta), tf.float64)
    assert np.mean(slow > 0) > 0.1
    small.assert_close(np.reshape(fast, slow.shape), slow)


def test_the_block_of_patches_on_images_that_are_all_alike(random: np.random.Generator) -> None:
    """Variance 0: nothing but beta comes out, and no root of a negative number."""
    patches = tf.constant(image_patches(np.ones((3, 1, 1, 1), np.float32), 2))
    kernel = random.normal(size=(3, 3, 1, 6)).astype(np.float32)
    beta = np.linspace(-1, 1, 6, dtype=np.float32)
    result = block_of_patches(patches, (kernel, np.ones(6, np.float32), beta), tf.float32)
    np.testing.assert_allclose(result[:, 0], np.tile(np.maximum(beta, 0), (3, 1)), atol=1e-3)


def results(form, images: np.ndarray, kernel: np.ndarray, dtype: tf.DType) -> list[np.ndarray]:
    """Outputs of a convolution, and the gradients that a random upstream gives."""
    images, kernel = tf.constant(images, dtype), tf.constant(kernel, dtype)
    with tf.GradientTape() as tape:
        tape.watch((images, kernel))
        outputs = form(images, kernel)
        upstream = np.random.default_rng(1).normal(size=outputs.shape)
        loss = tf.reduce_sum(outputs * tf.constant(upstream, dtype))
    return [
        tf.cast(r, tf.float64).numpy() for r in (outputs, *tape.gradient(loss, [images, kernel]))
    ]


def native(images: tf.Tensor, kernel: tf.Tensor, stride: int = 2) -> tf.Tensor:
    return tf.nn.conv2d(images, kernel, strides=stride, padding="SAME")


@pytest.mark.parametrize("few_positions", [0, 10_000])
@pytest.mark.parametrize("products", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", SIZES)
def test_convolution_and_its_gradients(
    size: tuple[int, int],
    stride: int,
    products: bool,
    few_positions: int,
    monkeypatch: pytest.MonkeyPatch,
    random: np.random.Generator,
) -> None:
    """In all of its forms."""
    monkeypatch.setattr(layers, "FEW_POSITIONS", few_positions)
    images, kernel = random.normal(size=(3, *size, 4)), random.normal(size=(3, 3, 4, 6))
    form = partial(convolution, stride=stride, products=products)
    mine = results(form, images, kernel, tf.float64)
    np.testing.assert_allclose(mine[0], slow_convolution(images, kernel, stride), atol=1e-12)
    theirs = results(partial(native, stride=stride), images, kernel, tf.float64)
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


def test_convolution_in_bfloat16(random: np.random.Generator) -> None:
    images, kernel = random.normal(size=(3, 8, 8, 4)), random.normal(size=(3, 3, 4, 6))
    exact = results(native, images, kernel, tf.float64)
    mine = results(partial(convolution, stride=2, products=False), images, kernel, tf.bfloat16)
    for one, other in zip(mine, exact, strict=True):
        error = np.linalg.norm(one - other) / np.linalg.norm(other)
        assert 1e-4 < error < 0.01


@pytest.mark.parametrize("products", [False, True])
@pytest.mark.parametrize("dtype", [tf.float32, tf.float64, tf.bfloat16])
def test_batch_norm_in_every_type(
    dtype: tf.DType, products: bool, random: np.random.Generator
) -> None:
    x = random.normal(1, 2, size=(4, 3, 3, 5))
    gamma, beta = random.normal(size=5), random.normal(size=5)
    exact = tf.float64 if dtype == tf.float64 else tf.float32
    result = layers.batch_norm(
        tf.cast(x, dtype), tf.cast(gamma, exact), tf.cast(beta, exact), products
    )
    assert result.dtype == dtype
    tolerance = {tf.float64: 1e-12, tf.float32: 1e-5, tf.bfloat16: 0.05}[dtype]
    slow = slow_batch_norm(x, gamma, beta)
    np.testing.assert_allclose(tf.cast(result, tf.float64), slow, rtol=0, atol=tolerance)


def product_with_hessian(
    form: Callable[..., tf.Tensor], inputs: list[np.ndarray], dtype: tf.DType
) -> list[np.ndarray]:
    """The second derivative of a random function of what `form` returns, times a random vector."""
    random = np.random.default_rng(2)
    inputs = [tf.constant(value, dtype) for value in inputs]
    vectors = [tf.constant(random.normal(size=value.shape), dtype) for value in inputs]
    with tf.GradientTape() as outer:
        outer.watch(inputs)
        with tf.GradientTape() as inner:
            inner.watch(inputs)
            outputs = form(*inputs)
            loss = tf.reduce_sum(outputs**3 * tf.constant(random.normal(size=outputs.shape), dtype))
        gradients = inner.gradient(loss, inputs)
        along = tf.add_n([tf.reduce_sum(g * v) for g, v in zip(gradients, vectors, strict=True)])
    return [tf.cast(p, tf.float64).numpy() for p in outer.gradient(along, inputs)]


def plain_batch_norm(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
    deviation = x - tf.reduce_mean(x, axis=[0, 1, 2])
    variance = tf.reduce_mean(deviation * deviation, axis=[0, 1, 2])
    return gamma * deviation / tf.sqrt(variance + layers.BATCH_NORM_EPSILON) + beta


@pytest.mark.parametrize("products", [False, True])
@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_second_derivatives_of_batch_norm(
    dtype: tf.DType, products: bool, random: np.random.Generator
) -> None:
    """MAML's update is made of them; first derivatives may be right where they are wrong."""
    inputs = [random.normal(1, 2, size=shape) for shape in ((4, 3, 3, 5), (5,), (5,))]
    exact = product_with_hessian(plain_batch_norm, inputs, tf.float64)
    mine = product_with_hessian(partial(layers.batch_norm, products=products), inputs, dtype)
    for one, other in zip(mine, exact, strict=True):
        tolerance = 1e-12 if dtype == tf.float64 else 1e-5
        assert np.abs(one - other).max() <= tolerance * np.abs(other).max()


@pytest.mark.parametrize("few_positions", [0, 10_000])
@pytest.mark.parametrize("products", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
def test_second_derivatives_of_convolution(
    stride: int,
    products: bool,
    few_positions: int,
    monkeypatch: pytest.MonkeyPatch,
    random: np.random.Generator,
) -> None:
    monkeypatch.setattr(layers, "FEW_POSITIONS", few_positions)
    inputs = [random.normal(size=(3, 7, 10, 4)), random.normal(size=(3, 3, 4, 6))]
    form = partial(convolution, stride=stride, products=products)
    exact = product_with_hessian(partial(native, stride=stride), inputs, tf.float64)
    for one, other in zip(product_with_hessian(form, inputs, tf.float64), exact, strict=True):
        assert np.abs(one - other).max() <= 1e-12 * np.abs(other).max()
