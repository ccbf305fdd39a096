"""Compiling once: a function's graph serves every length of its arguments' first axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


class AnyLength:
    """`function` as a TensorFlow graph, traced anew only for other shapes behind the first axis.

    `tf.function` alone would trace a second time for the second length it meets, and a
    trace of the training step takes seconds. With `tf.config.run_functions_eagerly(True)`
    the function runs as it is, for debugging.
    """

    def __init__(self, function: Callable[..., Any], xla: bool = False) -> None:
        """`xla`: compiled by XLA as one program."""
        self._function = function
        self._xla = xla
        self._graphs: dict[tuple[tf.TensorSpec, ...], Callable[..., Any]] = {}

    @property
    def traces(self) -> int:
        """How many graphs have been made."""
        return len(self._graphs)

    def __call__(self, *arguments: Any) -> Any:
        """Call it with (nested tuples of) tensors; the first axis of each may have any length.

        XLA compiles again for every length.
        """
        if tf.config.functions_run_eagerly():
            return self._function(*arguments)
        specs = tf.nest.map_structure(_any_length, arguments)
        key = tuple(tf.nest.flatten(specs))
        if key not in self._graphs:
            # Autograph has nothing to do here: loops are written with tf.while_loop.
            graph = tf.function(self._function, autograph=False, jit_compile=self._xla)
            self._graphs[key] = graph.get_concrete_function(*specs)
        return self._graphs[key](*arguments)


def _any_length(tensor: tf.Tensor) -> tf.TensorSpec:
    shape = [None, *tensor.shape[1:]] if tensor.shape.rank else []
    return tf.TensorSpec(shape, tensor.dtype)
