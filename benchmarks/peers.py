"""What a user would run instead: the same outer steps, each the way its kind of program does.

Every `make_*` returns a function that does some outer steps (Reptile, Adam with beta1 = 0)
on a setting's images, and returns when they are done.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from setting import Setting

OuterSteps = Callable[[int], None]
EPSILON, BETA2, BATCH_NORM_EPSILON = 1e-8, 0.999, 1e-3


def batches(setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    """Float images [inner steps, batch, H, W, C] and labels of one task, the same for all."""
    config = setting.config
    count = config.inner_steps * config.inner_batch
    shape = (config.inner_steps, config.inner_batch)
    images = setting.dataset.images[:count].astype(np.float32)
    labels = np.arange(count, dtype=np.int64) % config.way
    return images.reshape(*shape, *images.shape[1:]), labels.reshape(shape)


def kernel_shapes(setting: Setting) -> list[tuple[int, ...]]:
    """Shapes of the four convolutions' kernels and the dense layer's, HWIO and [in, out]."""
    height, width, channels = setting.dataset.image_shape
    shapes: list[tuple[int, ...]] = []
    for _ in range(4):
        shapes.append((3, 3, channels, setting.filters))
        channels, height, width = setting.filters, -(-height // 2), -(-width // 2)
    return [*shapes, (height * width * channels, setting.config.way)]


def initial(shape: tuple[int, ...]) -> np.ndarray:
    """Glorot uniform."""
    limit = math.sqrt(6 / (math.prod(shape[:-2]) * sum(shape[-2:])))
    return np.random.default_rng(0).uniform(-limit, limit, shape).astype(np.float32)


def initial_weights(setting: Setting) -> list[np.ndarray]:
    """Kernel, gamma and beta of each convolution, then the dense layer's kernel and bias."""
    *convolutions, dense = kernel_shapes(setting)
    weights: list[np.ndarray] = []
    for shape in convolutions:
        weights += [initial(shape), np.ones(shape[-1], "f"), np.zeros(shape[-1], "f")]
    return [*weights, initial(dense), np.zeros(dense[-1], "f")]


def make_plain_tensorflow(setting: Setting) -> OuterSteps:
    """As the original program: one call per inner step, weights through the host around tasks."""
    import tensorflow as tf

    pooling = setting.pooling
    weights = [tf.Variable(tf.constant(array)) for array in initial_weights(setting)]
    optimizer = tf.keras.optimizers.Adam(setting.config.inner_rate, beta_1=0.0, epsilon=EPSILON)
    optimizer.build(weights)

    def scores(x):
        for block in range(4):
            kernel, gamma, beta = weights[3 * block : 3 * block + 3]
            x = tf.nn.conv2d(x, kernel, 1 if pooling else 2, "SAME")
            mean, variance = tf.nn.moments(x, [0, 1, 2])
            x = tf.nn.batch_normalization(x, mean, variance, beta, gamma, BATCH_NORM_EPSILON)
            x = tf.nn.relu(tf.nn.max_pool2d(x, 2, 2, "SAME") if pooling else x)
        return tf.reshape(x, [len(x), -1]) @ weights[-2] + weights[-1]

    @tf.function
    def inner_step(x, y):
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=scores(x))
            loss = tf.reduce_sum(losses)
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

    images, labels = batches(setting)

    def run(outer_steps: int) -> None:
        for _ in range(outer_steps):
            old, adapted = [w.numpy() for w in weights], []
            for _ in range(setting.config.meta_batch):
                for x, y in zip(images, labels, strict=True):
                    inner_step(tf.constant(x), tf.constant(y))
                adapted.append([w.numpy() for w in weights])
                for weight, value in zip(weights, old, strict=True):
                    weight.assign(value)
            for weight, *after in zip(weights, *adapted, strict=True):
                weight.assign(np.mean(after, axis=0))

    return run


def torch_scores(weights: list[Any], x: Any, pooling: bool) -> Any:
    """Logits of the network on images [batch, C, H, W], as torch tensors."""
    from torch.nn import functional

    for block in range(4):
        kernel, gamma, beta = weights[3 * block : 3 * block + 3]
        x = functional.conv2d(x, kernel, stride=1 if pooling else 2, padding=1)
        x = functional.batch_norm(x, None, None, gamma, beta, True, 0.0, BATCH_NORM_EPSILON)
        if pooling:
            x = functional.max_pool2d(x, 2, ceil_mode=True)
        x = functional.relu(x)
    return x.flatten(1) @ weights[-2] + weights[-1]


def make_torch_eager(setting: Setting) -> OuterSteps:
    """PyTorch without compilation, task by task, weights copied in memory."""
    import torch
    from torch.nn import functional

    weights = [
        torch.from_numpy(w.transpose(3, 2, 0, 1).copy() if w.ndim == 4 else w).requires_grad_()
        for w in initial_weights(setting)
    ]
    rate = setting.config.inner_rate
    optimizer = torch.optim.Adam(weights, lr=rate, betas=(0.0, BETA2), eps=EPSILON)
    images, labels = batches(setting)
    inputs = torch.from_numpy(images).permute(0, 1, 4, 2, 3).contiguous()
    targets = torch.from_numpy(labels)

    def run(outer_steps: int) -> None:
        for _ in range(outer_steps):
            old = [w.detach().clone() for w in weights]
            total = [torch.zeros_like(w) for w in old]
            for _ in range(setting.config.meta_batch):
                for x, y in zip(inputs, targets, strict=True):
                    optimizer.zero_grad()
                    scores = torch_scores(weights, x, setting.pooling)
                    functional.cross_entropy(scores, y, reduction="sum").backward()
                    optimizer.step()
                with torch.no_grad():
                    for weight, start, sums in zip(weights, old, total, strict=True):
                        sums += weight
                        weight.copy_(start)
            with torch.no_grad():
                for weight, sums in zip(weights, total, strict=True):
                    weight.copy_(sums / setting.config.meta_batch)

    return run


def jax_loss(setting: Setting) -> Callable:
    """The inner loss of (weights, images [n, H, W, C], labels [n]) in JAX.

    Convolutions are patches and a product: with a kernel per task XLA's own run several times
    slower on a CPU.
    """
    import jax
    from jax import numpy as jnp

    stride = 1 if setting.pooling else 2

    def convolve(x, kernel):
        size, out = x.shape[1], -(-x.shape[1] // stride)
        before = max((out - 1) * stride + 3 - size, 0) // 2
        x = jnp.pad(x, ((0, 0), (before, 2), (before, 2), (0, 0)))
        last = (out - 1) * stride + 1
        patches = [
            x[:, i : i + last : stride, j : j + last : stride] for i in range(3) for j in range(3)
        ]
        return jnp.concatenate(patches, -1) @ kernel.reshape(-1, kernel.shape[-1])

    def loss(weights, x, y):
        for block in range(4):
            kernel, gamma, beta = weights[3 * block : 3 * block + 3]
            x = convolve(x, kernel)
            mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
            x = (x - mean) * jax.lax.rsqrt(variance + BATCH_NORM_EPSILON) * gamma + beta
            if setting.pooling:
                window = (1, 2, 2, 1)
                x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "SAME")
            x = jax.nn.relu(x)
        scores = x.reshape(len(x), -1) @ weights[-2] + weights[-1]
        return -jax.nn.log_softmax(scores)[jnp.arange(len(y)), y].sum()

    return loss


def make_jax_vmap(setting: Setting) -> OuterSteps:
    """JAX: the whole outer step compiled, tasks vectorised."""
    import jax
    from jax import numpy as jnp

    gradient = jax.grad(jax_loss(setting))
    parts = initial_weights(setting)

    def inner_step(carry, batch):
        weights, moments, time = carry
        gradients, time = gradient(weights, *batch), time + 1
        rate = setting.config.inner_rate * jnp.sqrt(1 - BETA2**time)
        moments = [BETA2 * v + (1 - BETA2) * g * g for v, g in zip(moments, gradients, strict=True)]
        weights = [
            w - rate * g / (jnp.sqrt(v) + EPSILON)
            for w, g, v in zip(weights, gradients, moments, strict=True)
        ]
        return (weights, moments, time), None

    def adapt(weights, moments, time, x, y):
        return jax.lax.scan(inner_step, (weights, moments, time), (x, y))[0]

    @jax.jit
    def outer_step(weights, moments, time, x, y):
        adapted = jax.vmap(adapt, in_axes=(None, None, None, 0, 0))(weights, moments, time, x, y)
        means = jax.tree_util.tree_map(lambda a: a.mean(0), adapted[:2])
        return (*means, adapted[2][0])

    images, labels = (np.stack([a] * setting.config.meta_batch) for a in batches(setting))
    state = [jnp.asarray(p) for p in parts], [jnp.zeros(p.shape) for p in parts], jnp.float32(0)

    def run(outer_steps: int) -> None:
        nonlocal state
        for _ in range(outer_steps):
            state = outer_step(*state, images, labels)
        jax.block_until_ready(state)

    return run


PEERS: dict[str, Callable[[Setting], OuterSteps]] = {
    "plain TensorFlow, a call per inner step": make_plain_tensorflow,
    "PyTorch, eager": make_torch_eager,
    "JAX, vmap over tasks": make_jax_vmap,
}
