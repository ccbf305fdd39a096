"""Start TensorFlow: the only place that sets its process-wide options."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Iterator

from supervised_reptile.errors import UserError
from supervised_reptile.system.out_of_memory import open_closed_streams
from supervised_reptile.system.rendezvous import meet
from supervised_reptile.system.tf_config import Cluster
from supervised_reptile.system.thread_pool import cores

FORKED = (
    "TensorFlow was used before this process was forked, and waits for ever in a fork: use "
    'multiprocessing.get_context("spawn") or "forkserver"'
)
_forked = False  # whether this process is a fork of one in which TensorFlow ran


def start_tensorflow(threads: int = 0, cluster: Cluster | None = None) -> None:
    """Import TensorFlow and give it `threads` cores (0: all this process may use).

    In a `cluster`, returns when all workers are connected.

    Operations run single-threaded, several at a time: tasks are many, their operations small,
    so one thread per task beats several threads per convolution. It also makes every result
    independent of the number of threads, to the last bit. Later calls change nothing.

    Raises:
      UserError: the worker cannot listen on its address, or others did not come, or no folder
        takes temporary files, or this process is a fork of one that used TensorFlow.
    """
    if _forked:
        raise UserError(FORKED)
    if "tensorflow" in sys.modules:
        return
    _check_temporary_folder()
    if cluster:
        meet(cluster)
    # Of a lost worker each of several parts of TensorFlow makes half a screen; see `group`.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3" if cluster else "2")
    # By default TensorFlow builds oneDNN's gradient convolutions again at every call to save
    # memory; keeping them takes a tenth off the time of an inner step.
    os.environ.setdefault("TF_MKL_OPTIMIZE_PRIMITIVE_MEMUSE", "false")
    # By default TensorFlow takes all of an accelerator's memory, which others may be using.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    with _native_messages_held_back():
        import tensorflow as tf

        # Of checkpoints that could not be restored it warns once more when it forgets them.
        tf.get_logger().setLevel("ERROR")
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(threads or cores())
        if cluster:
            _join(cluster)
        tf.config.list_logical_devices()  # starts the runtime, which also has things to say


def threads() -> int:
    """Number of operations that the started TensorFlow computes at the same time."""
    import tensorflow as tf

    return tf.config.threading.get_inter_op_parallelism_threads() or cores()


def on_accelerator() -> bool:
    """Whether the started TensorFlow computes on an accelerator."""
    import tensorflow as tf

    return any(device.device_type != "CPU" for device in tf.config.list_logical_devices())


def _join(cluster: Cluster) -> None:
    """Listen on this worker's address and connect with all others, who are there."""
    import tensorflow as tf

    # Native code waits, which Python's handler would not interrupt.
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        own, reason = cluster.name(cluster.rank), str(error).partition("\n")[0]
        raise UserError(f"{own} cannot join the others ({reason})") from error
    finally:
        signal.signal(signal.SIGINT, before)


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
