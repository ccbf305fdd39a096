"""Ray: a cluster that is there, or a small one of our own on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from supervised_reptile.errors import UserError
from supervised_reptile.sweep.trials import Plan
from supervised_reptile.system.atomic_files import home_expanded

OBJECT_STORE_BYTES = 80 * 2**20  # about the least that Ray takes; trials send it a few numbers
CONNECT_SECONDS = 10
QUIET = {  # Ray reads these when it is imported
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}
OWN = {  # for a Ray of our own
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # listens on loopback alone, as it does on a Mac
    "RAY_worker_niceness": "0",  # else every other program on the machine goes first
}


SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")
LONGEST_SOCKET = 103 if sys.platform == "darwin" else 107  # bytes of a path


def quiet() -> None:
    """Leave the talking to the live table."""
    os.environ.update(QUIET)
    logging.getLogger("ray").setLevel(logging.ERROR)


def _check_address(address: str) -> None:
    """Refuse an address at which nothing listens; Ray would knock for minutes (UserError)."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return  # auto, or something that Ray may understand
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"--address {address}: no Ray cluster answers there ({reason})") from error


@contextlib.contextmanager
def _own_folder() -> Iterator[None]:
    """A folder for a Ray of our own, removed afterwards, unless RAY_TMPDIR names one.

    Ray takes TMPDIR by itself, and fails where that is long or cannot be written.

    Raises:
      UserError: RAY_TMPDIR is too long, or there is no short folder that can be written.
    """
    if chosen := os.environ.get("RAY_TMPDIR"):
        os.environ["RAY_TMPDIR"] = chosen = home_expanded(chosen, "RAY_TMPDIR")
        if not _is_short(chosen):
            raise UserError(
                f"RAY_TMPDIR={chosen} is too long for Ray's sockets: name a folder of at most "
                f"{_longest_folder()} characters"
            )
        yield
        return
    os.environ["RAY_TMPDIR"] = folder = _make_folder()
    try:
        yield
    finally:
        del os.environ["RAY_TMPDIR"]
        shutil.rmtree(folder, ignore_errors=True)


def _make_folder() -> str:
    for parent in (os.environ.get("TMPDIR"), *SHORT_FOLDERS):
        if parent and _is_short(os.path.join(parent, "ray-00000000")):
            with contextlib.suppress(OSError):
                return os.path.abspath(tempfile.mkdtemp(prefix="ray-", dir=parent))
    raise UserError(
        f"Ray needs a folder that can be written, of at most {_longest_folder()} characters, and "
        f"none of {', '.join(SHORT_FOLDERS)} can: name one by RAY_TMPDIR"
    )


def _is_short(folder: str) -> bool:
    return len(os.fsencode(os.path.abspath(folder))) <= _longest_folder()


def _longest_folder() -> int:
    session = f"session_2000-01-01_00-00-00_000000_{os.getpid()}"
    return LONGEST_SOCKET - len(f"/ray/{session}/sockets/plasma_store")


@contextlib.contextmanager
def connected(plan: Plan, with_output: bool) -> Iterator[None]:
    """A connection to the cluster, or to a small one of our own on this machine."""
    quiet()
    terminated = signal.getsignal(signal.SIGTERM)
    with contextlib.nullcontext() if plan.address else _own_folder():
        _start(plan, {"logging_level": logging.ERROR, "log_to_driver": with_output})
        signal.signal(signal.SIGTERM, terminated)  # Ray's handler would end with status 15
        import ray

        try:
            yield
        finally:
            ray.shutdown()


def _start(plan: Plan, logs: Mapping[str, Any]) -> None:
    """Connect to the cluster at plan.address, or start one (UserError)."""
    if plan.address:
        _check_address(plan.address)
    else:
        os.environ.update(OWN)
    import ray

    try:
        if plan.address:
            ray.init(address=plan.address, **logs)
        else:
            ray.init(
                address="local",  # never what another program has started here
                num_cpus=plan.threads * (plan.jobs or 1),
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                **logs,
            )
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        address = f"--address {plan.address}: no Ray cluster there"
        raise UserError(f"{address if plan.address else 'Ray cannot start'} ({reason})") from error
