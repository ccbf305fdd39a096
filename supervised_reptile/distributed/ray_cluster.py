"""A connection to Ray: to a cluster that is there, or a small one of our own on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator

from supervised_reptile.errors import UserError
from supervised_reptile.system.atomic_files import home_expanded

OBJECT_STORE_BYTES = 80 * 2**20  # about the least that Ray takes
CONNECT_SECONDS = 10
ENVIRONMENT = {  # Ray reads these when it is imported
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # listens on loopback alone, as it does on a Mac
    "RAY_worker_niceness": "0",  # else every other program on the machine goes first
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # what workers print is not to be logged, too
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
}
SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")
MAX_SOCKET_PATH = 103 if sys.platform == "darwin" else 107  # bytes


@contextlib.contextmanager
def connected(address: str | None, cpus: int) -> Iterator[None]:
    """Ray at `address`, or started here with room for `cpus` and ended afterwards.

    Raises:
      UserError: Ray is not installed, no cluster answers at `address`, or none can be started.
    """
    os.environ.update(ENVIRONMENT)
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    if address:
        _check_answers(address)
    try:
        import ray
    except ImportError as error:
        raise UserError(
            f"Ray is missing: pip install 'supervised-reptile[ray]' ({error})"
        ) from error
    terminated = signal.getsignal(signal.SIGTERM)
    quiet = {"logging_level": logging.CRITICAL, "log_to_driver": False}
    with contextlib.nullcontext() if address else _short_folder():
        try:
            if address:
                ray.init(address=address, **quiet)
            else:
                ray.init(
                    address="local",  # never what another program has started here
                    num_cpus=cpus,
                    include_dashboard=False,
                    object_store_memory=OBJECT_STORE_BYTES,
                    **quiet,
                )
        except (OSError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            what = (
                f"--ray-address {address}: no Ray cluster there" if address else "Ray cannot start"
            )
            raise UserError(f"{what} ({reason})") from error
        if terminated is not None:
            signal.signal(signal.SIGTERM, terminated)  # Ray's handler ends with status 15
        try:
            yield
        finally:
            ray.shutdown()


def _check_answers(address: str) -> None:
    """Refuse an address at which nothing listens; Ray would try for minutes (UserError)."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return  # auto, or something that Ray may understand
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"--ray-address {address}: no Ray cluster answers there ({reason})"
        ) from error


@contextlib.contextmanager
def _short_folder() -> Iterator[None]:
    """A folder for a Ray of our own, removed afterwards, unless RAY_TMPDIR names one.

    Ray takes TMPDIR by itself, and fails where that is too long for its sockets.

    Raises:
      UserError: RAY_TMPDIR is too long, or there is no short folder that can be written.
    """
    session = f"session_2000-01-01_00-00-00_000000_{os.getpid()}"
    longest = MAX_SOCKET_PATH - len(f"/ray/{session}/sockets/plasma_store")
    if chosen := os.environ.get("RAY_TMPDIR"):
        os.environ["RAY_TMPDIR"] = chosen = home_expanded(chosen)
        if len(os.fsencode(os.path.abspath(chosen))) > longest:
            raise UserError(
                f"RAY_TMPDIR={chosen} is too long for Ray's sockets: name a folder of at most "
                f"{longest} characters"
            )
        yield
        return
    for parent in filter(None, (os.environ.get("TMPDIR"), *SHORT_FOLDERS)):
        if len(os.fsencode(os.path.abspath(parent))) + len("/ray-00000000") <= longest:
            with contextlib.suppress(OSError):
                folder = os.path.abspath(tempfile.mkdtemp(prefix="ray-", dir=parent))
                break
    else:
        raise UserError(
            f"Ray needs a folder that can be written, of at most {longest} characters, and none of "
            f"{', '.join(SHORT_FOLDERS)} can: name one by RAY_TMPDIR"
        )
    os.environ["RAY_TMPDIR"] = folder
    try:
        yield
    finally:
        del os.environ["RAY_TMPDIR"]
        shutil.rmtree(folder, ignore_errors=True)
