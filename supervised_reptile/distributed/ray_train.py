"""One run on several workers: Ray Train starts them and starts them again, TensorFlow adds up.

This process starts the run directory and waits. The workers continue the run: the first of them
writes the directory, which must be on storage that all machines share. What it prints, and the end,
reach this process through an actor, the mailbox; a signal goes the other way.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from supervised_reptile.distributed.placement import Placement
from supervised_reptile.distributed.ray_cluster import connected
from supervised_reptile.distributed.tf_config import join_workers
from supervised_reptile.errors import Interrupted, SettingsError, UserError, counted
from supervised_reptile.system.start_tensorflow import ENVIRONMENT, start_tensorflow
from supervised_reptile.system.stop_signals import StopSignals
from supervised_reptile.training.request import Request, resolve

POLL_SECONDS = 0.2
END_SECONDS = 30  # that Ray Train may take to end after the workers have


class Mailbox:
    """A Ray actor between the workers and the process that waits for them."""

    def __init__(self) -> None:
        self._messages: list[tuple[str, Any]] = []
        self._signal = 0
        self._starts = 0

    def start(self) -> int:
        """How often the workers were started, this time included."""
        self._starts += 1
        return self._starts

    def post(self, kind: str, content: Any) -> None:
        self._messages.append((kind, content))

    def take(self) -> list[tuple[str, Any]]:
        """The messages since the last call."""
        taken, self._messages = self._messages, []
        return taken

    def stop(self, signal_number: int) -> None:
        self._signal = signal_number

    def stopping(self) -> int:
        """The signal that ends the run, or 0."""
        return self._signal


def run_on_ray(request: Request, placement: Placement) -> Any:
    """As `training.experiment.run_experiment`, on the workers of `placement`.

    Raises:
      UserError: as `run_experiment`; or Ray cannot start the workers, or they died too often.
      Interrupted: a signal stopped the run, after a checkpoint.
    """
    request = resolve(request)
    start_tensorflow(request.config.threads)
    _start_directory(request)
    with connected(placement.ray_address, placement.workers * placement.cpus):
        import ray

        _check_room(placement)
        mailbox = ray.remote(num_cpus=0)(Mailbox).remote()
        return _Waiting(request, placement, mailbox).wait()


def _start_directory(request: Request) -> None:
    """Check everything and start the run's directory, so that workers only continue it."""
    from supervised_reptile.runs.run_dir import RunDir
    from supervised_reptile.training.experiment import prepare

    stored = prepare(request).stored
    if not request.config.pretrained:
        with RunDir(Path(request.config.checkpoint), stored, request.overwrite):
            pass


def _check_room(placement: Placement) -> None:
    """Refuse workers for which the cluster has no room; Ray would wait for ever (UserError)."""
    import ray

    room = 0
    for node in ray.nodes():
        has = node["Resources"] if node["Alive"] else {}
        fitting = int(has.get("CPU", 0) // placement.cpus)
        if placement.worker_gpus:
            fitting = min(fitting, int(has.get("GPU", 0) // placement.worker_gpus))
        room += fitting
    if room < placement.workers:
        gpus = f" and {counted(placement.worker_gpus, 'GPU')}" if placement.worker_gpus else ""
        raise UserError(
            f"--workers {placement.workers}: the machines have room for {room} of "
            f"{counted(placement.cpus, 'CPU')}{gpus}: give fewer, or smaller ones by --worker-cpus "
            "and --worker-gpus"
        )


class _Waiting:
    """Waits for the workers, prints what the first prints, and passes signals on."""

    def __init__(self, request: Request, placement: Placement, mailbox: Any) -> None:
        self._callbacks = request.callbacks
        self._mailbox = mailbox
        config = request.config
        self._request = dataclasses.replace(
            request,
            config=dataclasses.replace(  # Ray's workers have working directories of their own
                config,
                checkpoint=os.path.abspath(config.checkpoint),
                data_dir=os.path.abspath(config.data_dir),
            ),
            explicit=request.explicit | {"data_dir"},
            resume=not config.pretrained,
            overwrite=False,
            callbacks=(),
            origin=None,
        )
        self._placement = placement
        self._outcome: tuple[str, Any] | None = None
        self._failure: Exception | None = None

    def wait(self) -> Any:
        """The accuracies."""
        import ray

        scratch = Path(self._request.config.checkpoint) / "ray"
        training = threading.Thread(target=self._fit, args=(scratch,), daemon=True)
        training.start()
        with StopSignals() as stop:
            while self._outcome is None and training.is_alive():
                time.sleep(POLL_SECONDS)
                if stop.received:
                    ray.get(self._mailbox.stop.remote(stop.received))
                    stop.received = 0
                self._deliver()
        training.join(END_SECONDS if self._outcome and self._outcome[0] == "end" else 0)
        self._deliver()
        shutil.rmtree(scratch, ignore_errors=True)
        return self._end()

    def _deliver(self) -> None:
        """Print and hand on what has come."""
        import ray

        messages = cast("list[tuple[str, Any]]", ray.get(self._mailbox.take.remote()))
        for kind, content in messages:
            if kind in ("out", "err"):
                stream = sys.stdout if kind == "out" else sys.stderr
                print(content, end="", file=stream, flush=True)
            elif kind == "monitor":
                for callback in self._callbacks:
                    callback(*content)
            else:
                self._outcome = self._outcome or (kind, content)

    def _end(self) -> Any:
        kind: str = self._outcome[0] if self._outcome else ""
        content: Any = self._outcome[1] if self._outcome else None
        if kind == "end":
            return content
        if kind == "interrupted":
            raise Interrupted(*content)
        if kind == "refused":
            raise UserError(content)
        reason = str(self._failure).strip().splitlines()[-1] if self._failure else "no reason given"
        raise UserError(
            f"the workers were started again {counted(self._placement.max_failures, 'time')} and "
            f"ended too early ({reason}): see Ray's logs, then continue with --resume"
        ) from self._failure

    def _fit(self, scratch: Path) -> None:
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.tensorflow import TensorflowTrainer

        placement = self._placement
        trainer = TensorflowTrainer(
            work,
            train_loop_config={
                "request": self._request,
                "mailbox": self._mailbox,
                "threads": placement.cpus,
            },
            scaling_config=ScalingConfig(
                num_workers=placement.workers,
                use_gpu=bool(placement.worker_gpus),
                resources_per_worker={
                    "CPU": placement.cpus,
                    **({"GPU": placement.worker_gpus} if placement.worker_gpus else {}),
                },
            ),
            run_config=RunConfig(
                name="train",
                storage_path=str(scratch),
                failure_config=FailureConfig(max_failures=placement.max_failures),
                worker_runtime_env={"env_vars": ENVIRONMENT},
            ),
        )
        try:
            trainer.fit()
        except Exception as error:  # Ray's errors, and whatever a lost connection raises
            self._failure = error


class _Post:
    """A text stream into the mailbox."""

    def __init__(self, mailbox: Any, kind: str) -> None:
        self._mailbox, self._kind = mailbox, kind

    def write(self, text: str) -> int:
        self._mailbox.post.remote(self._kind, text)
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False


def work(given: Mapping[str, Any]) -> None:
    """What each worker does."""
    import ray

    from supervised_reptile.training.experiment import run_experiment

    logging.getLogger("absl").setLevel(logging.ERROR)  # Ray lets it tell how long saving took
    request, mailbox = given["request"], given["mailbox"]
    workers = join_workers(given["threads"])
    with _connected_to(mailbox, workers.rank == 0):
        if workers.rank == 0:

            def passed_on(step: int, accuracies: Mapping[str, float]) -> None:
                mailbox.post.remote("monitor", (step, dict(accuracies)))

            request = dataclasses.replace(request, callbacks=(passed_on,))
            if cast("int", ray.get(mailbox.start.remote())) > 1:
                print(
                    "Note: a worker ended; all are started again, from the last checkpoint",
                    file=sys.stderr,
                )
        try:
            outcome = "end", run_experiment(request, workers)
        except (UserError, SettingsError) as error:
            outcome = "refused", str(error)
        except Interrupted as error:
            outcome = "interrupted", (str(error), error.signal_number)
    if workers.rank == 0 or outcome[0] == "refused":
        ray.get(mailbox.post.remote(*outcome))
    if outcome[0] == "refused":
        time.sleep(END_SECONDS)  # until all are ended; the others wait for this one


@contextlib.contextmanager
def _connected_to(mailbox: Any, first: bool) -> Iterator[None]:
    """The first worker's output goes to the mailbox, from which it hears of signals."""
    if not first:
        yield
        return
    import ray

    done = threading.Event()

    def listen() -> None:
        while not done.wait(POLL_SECONDS):
            number = cast("int", ray.get(mailbox.stopping.remote()))
            StopSignals.requested = number

    threading.Thread(target=listen, daemon=True).start()
    with (
        contextlib.redirect_stdout(_Post(mailbox, "out")),
        contextlib.redirect_stderr(_Post(mailbox, "err")),
    ):
        try:
            yield
        finally:
            done.set()
