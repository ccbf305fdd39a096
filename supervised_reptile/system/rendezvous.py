"""Workers find each other before TensorFlow starts.

TensorFlow waits for missing workers without a word, without end and deaf to Python; which address
is wrong it never says. Here every worker listens on its address and calls all others, until all
have reached all. Then the addresses are free for TensorFlow.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
import threading
import time

from supervised_reptile.errors import UserError
from supervised_reptile.system.tf_config import Cluster

# How long a worker waits for the others: schedulers do not start all at once.
PATIENCE_VARIABLE, PATIENCE_SECONDS = "REPTILE_JOIN_SECONDS", 600
QUIET_SECONDS = 10.0  # until it says that it waits
CALL_SECONDS = 5.0
PAUSE_SECONDS = 0.1
GREETING_BYTES = 32  # of SHA-256
NAMED = 5  # missing workers, in messages


def meet(cluster: Cluster) -> None:
    """Return when all workers of `cluster` can reach each other.

    Raises:
      UserError: this worker's port is taken, or others were not there in time; the environment
        says of the time what is no number.
    """
    patience = _patience()
    own = cluster.name(cluster.rank)
    began, explained = time.monotonic(), False
    others = set(range(len(cluster.addresses))) - {cluster.rank}
    with _Listener(cluster, others) as listener:
        unreached = others
        while True:
            unreached = {rank for rank in unreached if not _call(cluster, rank)}
            if not (missing := unreached | listener.unheard):
                return
            waited = time.monotonic() - began
            if waited > patience:
                raise UserError(
                    f"{own} waited {patience:g} s ({PATIENCE_VARIABLE}) for "
                    f"{_names(cluster, missing)}: start all workers with the same list, and see "
                    "that they reach each other's addresses"
                )
            if waited > QUIET_SECONDS and not explained:
                print(f"{own} waits for {_names(cluster, missing)}", file=sys.stderr, flush=True)
                explained = True
            time.sleep(PAUSE_SECONDS)


def _patience() -> float:
    """Seconds to wait for the others (UserError where the environment gives no number)."""
    text = os.environ.get(PATIENCE_VARIABLE, "") or str(PATIENCE_SECONDS)
    with contextlib.suppress(ValueError):
        if (seconds := float(text)) >= 0:  # which is not true of nan
            return seconds
    raise UserError(
        f"the environment variable {PATIENCE_VARIABLE}: {text!r} is not a number of seconds"
    )


class _Listener:
    """Takes the calls of other workers, in a thread, and notes who has not called yet."""

    def __init__(self, cluster: Cluster, others: set[int]) -> None:
        self.unheard = set(others)
        self._greetings = {_greeting(cluster, rank): rank for rank in others}
        port = int(cluster.addresses[cluster.rank].rpartition(":")[2])
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        try:
            # On every interface, as TensorFlow: the own name may be one that others gave.
            self._server = socket.create_server(("", port), family=family, dualstack_ipv6=both)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else error
            raise UserError(
                f"{cluster.name(cluster.rank)} cannot listen on its port ({reason})"
            ) from error
        self._server.settimeout(PAUSE_SECONDS)
        self._closing = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def __enter__(self) -> _Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._thread.join()
        self._server.close()

    def _listen(self) -> None:
        while not self._closing:
            with contextlib.suppress(OSError):  # nobody called, or not one of us
                caller, _ = self._server.accept()
                with caller:
                    self._answer(caller)

    def _answer(self, caller: socket.socket) -> None:
        caller.settimeout(CALL_SECONDS)
        greeting = _received(caller)
        if greeting in self._greetings:
            caller.sendall(greeting)
            # Heard only if the answer was: who has heard all goes, and answers no more.
            if _received(caller) == greeting:
                self.unheard.discard(self._greetings[greeting])


def _call(cluster: Cluster, rank: int) -> bool:
    """Whether another worker has answered this one."""
    host, _, port = cluster.addresses[rank].rpartition(":")
    greeting = _greeting(cluster, cluster.rank)
    with (
        contextlib.suppress(OSError),
        socket.create_connection((host.strip("[]"), int(port)), CALL_SECONDS) as connection,
    ):
        connection.sendall(greeting)
        if _received(connection) == greeting:
            connection.sendall(greeting)
            return True
    return False


def _received(connection: socket.socket) -> bytes:
    """A greeting, or less if the other side closes."""
    content = b""
    while len(content) < GREETING_BYTES and (part := connection.recv(GREETING_BYTES)):
        content += part
    return content


def _greeting(cluster: Cluster, rank: int) -> bytes:
    """What a worker of the same cluster says first, always of the same length."""
    return hashlib.sha256(repr((cluster.addresses, cluster.tasks, rank)).encode()).digest()


def _names(cluster: Cluster, ranks: set[int]) -> str:
    some = [cluster.name(rank) for rank in sorted(ranks)]
    more = f" and {len(some) - NAMED} more" if len(some) > NAMED else ""
    return ", ".join(some[:NAMED]) + more
