"""Workers of one run as processes of this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence

from supervised_reptile.distributed.private_network import leave_network
from supervised_reptile.errors import UserError
from supervised_reptile.system.processes import end_with_parent
from supervised_reptile.system.stop_signals import StopSignals
from supervised_reptile.system.tf_config import VARIABLE, write_cluster

LOOPBACK = "127.0.0.1"
POLL_SECONDS = 0.05
# For the others to end after the first that failed. They notice a dead worker at once, and one
# that does not answer in about ten seconds.
PATIENCE_SECONDS = 120


class Worker:
    """A worker's process. The chief has the terminal; what the others say is kept."""

    def __init__(self, command: Sequence[str], addresses: tuple[str, ...], rank: int) -> None:
        self.rank = rank
        self._said: list[str] = []
        with _on_a_share_of_cores(rank, len(addresses)):
            self.process = subprocess.Popen(
                command,
                env={**os.environ, VARIABLE: write_cluster(addresses, rank)},
                stdin=subprocess.DEVNULL,
                stdout=None if rank == 0 else subprocess.DEVNULL,
                stderr=None if rank == 0 else subprocess.PIPE,
                text=True,
                # Ctrl-C in the terminal comes to the launcher alone, which passes it on.
                start_new_session=True,
                preexec_fn=end_with_parent,
            )

    def listen(self) -> None:
        """Keep what it writes to standard error."""
        self._listener = threading.Thread(target=self._keep, daemon=True)
        self._listener.start()

    def _keep(self) -> None:
        if self.process.stderr:
            self._said.extend(self.process.stderr)

    def last_words(self) -> str:
        """What it wrote to standard error, and how it ended where it could not say that itself."""
        self._listener.join(timeout=1)
        said = "".join(f"worker {self.rank}: {line}" for line in self._said)
        if self.process.returncode < 0:
            name = signal.Signals(-self.process.returncode).name
            said += f"worker {self.rank} was ended by {name}\n"
        return said


def launch(command: Sequence[str], workers: int) -> int:
    """Run `command` as that many workers and wait for them; returns an exit status.

    Signals go on to all workers. If one fails, the others are given time to notice.

    Raises:
      UserError: the command cannot be run.
    """
    if not leave_network():
        print(
            "Warning: the workers' ports can be reached from other machines (a private "
            "network needs Linux with user namespaces): use a network that you trust",
            file=sys.stderr,
        )
    try:
        addresses = _free_addresses(workers)
    except OSError as error:
        raise UserError(f"--workers {workers}: no ports for them ({error.strerror})") from error
    started: list[Worker] = []
    with StopSignals() as stop:
        try:
            for rank in range(workers):
                started.append(Worker(command, addresses, rank))
            for worker in started:
                worker.listen()
            first, passed_on = _wait(started, stop)
        except OSError as error:
            raise UserError(f"{command[0]}: cannot be run ({error.strerror})") from error
        finally:
            for worker in started:
                if worker.process.poll() is None:
                    worker.process.kill()
    return _status(started, first, passed_on)


def _wait(workers: Sequence[Worker], stop: StopSignals) -> tuple[Worker | None, int]:
    """Wait until all have ended, or too long for that.

    Returns the first that failed, and the number of the last signal that was passed on.
    """
    first, passed_on, deadline = None, 0, float("inf")
    while running := [worker for worker in workers if worker.process.poll() is None]:
        if stop.received:
            passed_on, stop.received = stop.received, 0
            for worker in running:
                worker.process.send_signal(passed_on)
        first = first or _failed(workers)
        if first and deadline == float("inf"):
            deadline = time.monotonic() + PATIENCE_SECONDS
        if time.monotonic() > deadline:
            break
        time.sleep(POLL_SECONDS)
    return first or _failed(workers), passed_on


def _failed(workers: Sequence[Worker]) -> Worker | None:
    return next((worker for worker in workers if worker.process.returncode), None)


def _status(workers: Sequence[Worker], first: Worker | None, passed_on: int) -> int:
    """The exit status of the whole; says what the chief has not said."""
    if first is None:
        return 0
    chief, code = workers[0].process.returncode, first.process.returncode
    if passed_on and code == -passed_on:  # before it could listen to signals
        return 128 + passed_on
    if code < 0 or (first.rank and code == 1):
        sys.stderr.write(first.last_words())
    return chief if chief is not None and chief > 0 else 1


def _free_addresses(count: int) -> tuple[str, ...]:
    """Addresses of this machine on which nobody listens now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return tuple(f"{LOOPBACK}:{one.getsockname()[1]}" for one in sockets)


@contextlib.contextmanager
def _on_a_share_of_cores(rank: int, workers: int) -> Iterator[None]:
    """Processes started meanwhile may use this worker's part of the cores, at least one."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    cores = sorted(allowed)
    share = cores[rank * len(cores) // workers : (rank + 1) * len(cores) // workers]
    os.sched_setaffinity(0, share or {cores[rank % len(cores)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
