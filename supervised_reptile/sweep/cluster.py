"""Ray: a cluster that is there, or a small one of our own on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
from collections.abc import Iterator

from supervised_reptile.errors import UserError
from supervised_reptile.sweep.trials import Plan

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
def connected(plan: Plan, with_output: bool) -> Iterator[None]:
    """A connection to the cluster, or to a small one of our own on this machine."""
    quiet()
    if plan.address:
        _check_address(plan.address)
    else:
        os.environ.update(OWN)
    import ray

    logs = {"logging_level": logging.ERROR, "log_to_driver": with_output}
    terminated = signal.getsignal(signal.SIGTERM)
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
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        where = f"--address {plan.address}: no Ray cluster there" if plan.address else "Ray"
        raise UserError(f"{where} ({reason})") from error
    signal.signal(signal.SIGTERM, terminated)  # Ray's handler would end with status 15
    try:
        yield
    finally:
        ray.shutdown()
