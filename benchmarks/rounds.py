"""Interleaved rounds: every entry in a process of its own, one working at a time.

A process of its own is how people run a program. Many graphs in one process slow each other
down by a tenth, through the memory that they hold.
"""

from __future__ import annotations

import importlib
import multiprocessing
import resource
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import NamedTuple

import click
from entries import Entry

from supervised_reptile.system.start_tensorflow import start_tensorflow

# Picklable: a partial of one of the functions in `entries`. If it has a `module`, that is imported
# before TensorFlow starts: PyTorch's 2.14 ends the process where TensorFlow 2.21 is loaded.
Make = Callable[[], Entry]


class Measured(NamedTuple):
    """What came of one entry."""

    name: str
    unit: str
    amount: float  # units of work in one call
    flops: float  # of one call
    rates: list[float]  # units of work a second, in each round
    peak_mib: float  # resident memory of its process
    cpu_rates: list[float]  # units of work a second of processor time, in each round


class _Worker(NamedTuple):
    process: BaseProcess
    told: Connection
    entry: tuple[str, str, float, float]  # name, unit, amount, flops
    rates: list[tuple[float, float]]  # by the clock and by the processor's time


def measure(makes: Sequence[Make], rounds: int, threads: int) -> tuple[list[Measured], list[str]]:
    """Measure all that can be made, and name the modules that the others lack."""
    workers: list[_Worker] = []
    missing: list[str] = []
    try:
        for make in makes:
            started = _start(make, threads)
            if isinstance(started, str):
                missing.append(started)
            else:
                workers.append(started)
        for _ in range(rounds):
            for worker in workers:
                worker.told.send("work")
                worker.rates.append(worker.told.recv())
        peaks = [_stop(worker) for worker in workers]
    finally:
        for worker in workers:
            worker.process.kill()
    measured = []
    for worker, peak in zip(workers, peaks, strict=True):
        wall, cpu = (list(rates) for rates in zip(*worker.rates, strict=True))
        measured.append(Measured(*worker.entry, wall, peak, cpu))
    return measured, missing


def _start(make: Make, threads: int) -> _Worker | str:
    """A process that has made its entry and worked once; or the module that it lacks."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=partial(_serve, make, threads, there), daemon=True)
    process.start()
    there.close()
    try:
        first = here.recv()
    except EOFError:  # its traceback was printed, if there was one
        process.join()
        name = getattr(make, "peer", make)
        raise click.ClickException(f"{name}: its process ended with {process.exitcode}") from None
    return first if isinstance(first, str) else _Worker(process, here, first, [])


def _stop(worker: _Worker) -> float:
    worker.told.send("end")
    return worker.told.recv()


def _serve(make: Make, threads: int, caller: Connection) -> None:
    """What a worker's process does."""
    try:
        if module := getattr(make, "module", None):
            importlib.import_module(module)
        start_tensorflow(threads)
        entry = make()
    except ImportError as error:
        caller.send(str(error.name))
        return
    entry.work()  # compiles
    caller.send((entry.name, entry.unit, entry.amount, entry.flops))
    while caller.recv() == "work":
        began, cpu_began = time.perf_counter(), time.process_time()
        entry.work()
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
        caller.send((entry.amount / seconds, entry.amount / cpu_seconds))
    caller.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
