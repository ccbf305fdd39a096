"""Start TensorFlow: the only place that sets its process-wide options."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator

from supervised_reptile.errors import UserError
from supervised_reptile.system.out_of_memory import open_closed_streams
from supervised_reptile.system.thread_pool import cores

FORKED = (
    "TensorFlow was used before this process was forked, and waits for ever in a fork: use "
    'multiprocessing.get_context("spawn") or "forkserver"'
)
_forked = False  # whether this process is a fork of one in which TensorFlow ran


# TensorFlow reads them when it is imported.
ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "2",
    # By default TensorFlow builds oneDNN's gradient convolutions again at every call to save
    # memory; keeping them takes a tenth off the time of an inner step.
    "TF_MKL_OPTIMIZE_PRIMITIVE_MEMUSE": "false",
    # By default TensorFlow takes all of an accelerator's memory, which others may be using.
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
}


def start_tensorflow(threads: int = 0, join: Callable[[], object] | None = None) -> None:
    """Import TensorFlow and give it `threads` cores (0: all this process may use).

    Operations run single-threaded, several at a time: tasks are many, their operations small,
    so one thread per task beats several threads per convolution. It also makes every result
    independent of the number of threads, to the last bit. Later calls change nothing.

    join: called before TensorFlow's runtime starts, to connect it with other workers.

    Raises:
      UserError: no folder takes temporary files, or this process is a fork of one that used
        TensorFlow.
    """
    if _forked:
        raise UserError(FORKED)
    if _runs():
        return
    _check_temporary_folder()
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with _native_messages_held_back():
        import tensorflow as tf

        # Of checkpoints that could not be restored it warns once more when it forgets them.
        tf.get_logger().setLevel("ERROR")
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(threads or cores())
        if join:
            join()
        tf.config.list_logical_devices()  # starts the runtime, which also has things to say


def threads() -> int:
    """Number of operations that the started TensorFlow computes at the same time."""
    import tensorflow as tf

    return tf.config.threading.get_inter_op_parallelism_threads() or cores()


def on_accelerator() -> bool:
    """Whether the started TensorFlow computes on an accelerator."""
    import tensorflow as tf

    return any(device.device_type != "CPU" for device in tf.config.list_logical_devices())


def _check_temporary_folder() -> None:
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise UserError(
            "TensorFlow needs a folder for temporary files, and none can be written: name one by "
            "TMPDIR"
        ) from error


@contextlib.contextmanager
def _native_messages_held_back() -> Iterator[None]:
    """Keeps what native code writes to standard error to itself, unless the block fails.

    TensorFlow's libraries report absent GPUs and their build options there before any log
    level is read: half a screen before every run, of no use to anyone.
    """
    open_closed_streams()
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except (UserError, KeyboardInterrupt):
            raise
        except BaseException:
            held.seek(0)
            os.write(terminal, held.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def _after_fork() -> None:
    global _forked
    _forked = _forked or _runs()


def _runs() -> bool:
    """Whether TensorFlow has started threads, which a fork does not have."""
    if (tensorflow := sys.modules.get("tensorflow")) is None:
        return False
    threading = tensorflow.config.threading
    number = threading.get_inter_op_parallelism_threads()
    try:
        threading.set_inter_op_parallelism_threads(number + 1)  # refused once it has
    except RuntimeError:
        return True
    threading.set_inter_op_parallelism_threads(number)
    return False


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork either
    os.register_at_fork(after_in_child=_after_fork)
