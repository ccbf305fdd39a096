"""The layers' fast forms against NumPy loops and against TensorFlow's own convolution."""

from __future__ import annotations

import numpy as np
import pytest
import small_problem as small
import tensorflow as tf
from slow_reference import batch_norm as slow_batch_norm
from slow_reference import convolution, windows

from supervised_reptile import layers
from supervised_reptile.layers import first_block, image_patches, strided_convolution

SIZES = [(8, 8), (7, 10), (5, 4), (1, 3)]
RANDOM = np.random.default_rng(7)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", SIZES)
def test_patches_are_what_a_kernel_sees(size: tuple[int, int], stride: int) -> None:
    images = RANDOM.integers(1, 256, (3, *size, 2)).astype(np.uint8)
    patches = image_patches(images, stride)
    assert patches.dtype == np.uint8
    seen = windows(images, 3, stride, fill=0)
    assert patches.shape == (3, len(seen), 9 * 2 + 1)
    for position, window in enumerate(seen.values()):  # row by row
        np.testing.assert_array_equal(patches[:, position, :-1], window.reshape(3, -1))
    assert np.all(patches[:, :, -1] == 1)


@pytest.mark.parametrize("size", SIZES)
def test_first_block_is_convolution_batch_norm_and_relu(size: tuple[int, int]) -> None:
    images = RANDOM.uniform(0, 1, (4, *size, 2))
    kernel, gamma = RANDOM.normal(size=(3, 3, 2, 5)), RANDOM.normal(size=5)
    beta = RANDOM.normal(size=5)
    slow = np.maximum(slow_batch_norm(convolution(images, kernel, 2), gamma, beta), 0)
    patches = tf.constant(image_patches(images, 2))
    fast = first_block(patches, (kernel, gamma, beta), tf.float64)
    assert np.mean(slow > 0) > 0.1
    small.assert_close(np.reshape(fast, slow.shape), slow)


def test_first_block_on_images_that_are_all_alike() -> None:
    """Variance 0: nothing but beta comes out, and no root of a negative number."""
    patches = tf.constant(image_patches(np.ones((3, 1, 1, 1), np.float32), 2))
    kernel = RANDOM.normal(size=(3, 3, 1, 6)).astype(np.float32)
    beta = np.linspace(-1, 1, 6, dtype=np.float32)
    result = first_block(patches, (kernel, np.ones(6, np.float32), beta), tf.float32)
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


def native(images: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    return tf.nn.conv2d(images, kernel, strides=2, padding="SAME")


@pytest.mark.parametrize("few_positions", [0, 10_000])
@pytest.mark.parametrize("size", SIZES)
def test_strided_convolution_and_its_gradients(
    size: tuple[int, int], few_positions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In both of its forms."""
    monkeypatch.setattr(layers, "FEW_POSITIONS", few_positions)
    images, kernel = RANDOM.normal(size=(3, *size, 4)), RANDOM.normal(size=(3, 3, 4, 6))
    mine = results(strided_convolution, images, kernel, tf.float64)
    np.testing.assert_allclose(mine[0], convolution(images, kernel, 2), atol=1e-12)
    for one, other in zip(mine, results(native, images, kernel, tf.float64), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


def test_strided_convolution_in_bfloat16() -> None:
    images, kernel = RANDOM.normal(size=(3, 8, 8, 4)), RANDOM.normal(size=(3, 3, 4, 6))
    exact = results(native, images, kernel, tf.float64)
    for one, other in zip(
        results(strided_convolution, images, kernel, tf.bfloat16), exact, strict=True
    ):
        error = np.linalg.norm(one - other) / np.linalg.norm(other)
        assert 1e-4 < error < 0.01
