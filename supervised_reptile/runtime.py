"""What TensorFlow reads once, before its first use: set here and nowhere else."""

from __future__ import annotations

import os


def start_tensorflow(threads: int = 0) -> None:
    """Import TensorFlow quietly and give it `threads` cores (0: all this process may use).

    Operations run single-threaded, several at a time: tasks are many, their operations small,
    so one thread per task beats several threads per convolution. It also makes every result
    independent of the number of threads, to the last bit. Later calls change nothing.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # By default TensorFlow builds oneDNN's gradient convolutions anew at every call to save
    # memory; keeping them takes a tenth off the time of an inner step.
    os.environ.setdefault("TF_MKL_OPTIMIZE_PRIMITIVE_MEMUSE", "false")
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(threads or usable_cores())
    except RuntimeError:  # TensorFlow has run already in this process
        return


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
