"""`reptile reproduce cost`: memory and time of an outer step of MAML, FOML and Reptile."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from supervised_reptile.config import Count
from supervised_reptile.errors import Interrupted, UserError, counted
from supervised_reptile.paper.cost_report import NAMES, Cost, Costs, Quartiles, write_report
from supervised_reptile.paper.options import data_option, out_option, threads_option
from supervised_reptile.system import machine
from supervised_reptile.system.atomic_files import read_json, reading, write_json, writing
from supervised_reptile.system.progress_bar import Bar
from supervised_reptile.system.stop_signals import StopSignals

ALGORITHMS = tuple(NAMES)
MEASUREMENTS = "measurements.json"
PROBE = "supervised_reptile.paper.cost_probe"
MOST_ROUNDS = 1000
MOST_STEPS = 10_000  # MAML keeps all of them in memory
QUANTITIES = ("base", "peak", "seconds")  # of a process: see `cost_probe.Measurement`
PATIENCE = 0.1  # seconds between two looks at whether a signal came


class Case(NamedTuple):
    """One process's work."""

    algorithm: str
    inner_steps: int
    round: int

    def __str__(self) -> str:
        return f"{self.algorithm}, {counted(self.inner_steps, 'inner step')}, round {self.round}"


class Plan(NamedTuple):
    """What is to be measured."""

    data_dir: str
    inner_steps: tuple[int, ...]
    rounds: int
    threads: int

    @property
    def command(self) -> str:
        """The command line, but for --out."""
        numbers = ",".join(map(str, self.inner_steps))
        words = f"reptile reproduce cost --out DIR --steps {numbers} --rounds {self.rounds}"
        return words + (f" --threads {self.threads}" if self.threads else "")

    @property
    def cases(self) -> Iterator[Case]:
        """Round by round, so that a machine that drifts slows all algorithms alike."""
        for number in range(self.rounds):
            for steps in self.inner_steps:
                yield from (Case(algorithm, steps, number) for algorithm in ALGORITHMS)


class Measured:
    """What was measured so far, kept in a file that is replaced after every measurement."""

    def __init__(self, folder: Path, threads: int) -> None:
        """Continue with what is in `folder`.

        Raises:
          UserError: it was measured elsewhere, cannot be read, or nothing can be written there.
        """
        self._path = folder / MEASUREMENTS
        self.about = {**machine.describe(), "threads": str(threads or "all")}
        self.seconds = 0.0
        self.results: dict[Case, dict[str, float]] = {}
        if self._path.exists():
            self._read()
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def add(self, case: Case, result: dict[str, float], seconds: float) -> None:
        """Keep what the process for `case` found in `seconds`."""
        self.results[case] = result
        self.seconds += seconds
        content = {
            "about": self.about,
            "seconds": self.seconds,
            "measurements": [{**c._asdict(), **r} for c, r in self.results.items()],
        }
        with writing(self._path):
            write_json(self._path, content)

    def _read(self) -> None:
        with reading(self._path, "remove it to measure again, or restore it from a copy"):
            content = read_json(self._path)
            about, self.seconds = content["about"], float(content["seconds"])
            for entry in content["measurements"]:
                case = Case(*(entry[field] for field in Case._fields))
                self.results[case] = {name: float(entry[name]) for name in QUANTITIES}
        for name, value in self.about.items():
            if about.get(name) != value:
                raise UserError(
                    f"what is in {self._path} was measured with {name} {about.get(name)}, and here "
                    f"it is {value}: use another --out"
                )


def run_probe(case: Case, plan: Plan, stop: StopSignals) -> dict[str, float]:
    """Measure `case` in a process of its own.

    Raises:
      Interrupted: SIGINT or SIGTERM came; the process was ended.
      UserError: it failed.
    """
    words = [case.algorithm, str(case.inner_steps), plan.data_dir, str(plan.threads)]
    process = subprocess.Popen(
        [sys.executable, "-m", PROBE, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a Ctrl-C is for us; we end it
    )
    with process:
        while not stop.received:
            try:
                out, errors = process.communicate(timeout=PATIENCE)
                break
            except subprocess.TimeoutExpired:
                continue
        else:
            process.kill()
            raise Interrupted(
                "Interrupted; finished measurements are kept: the same command continues.",
                stop.received,
            )
    if process.returncode:
        reason = (errors.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        raise UserError(f"{case}: {reason.removeprefix('Error: ')}")
    return json.loads(out)


def measure_all(plan: Plan, measured: Measured) -> None:
    """Measure every case of `plan` that has not been measured yet."""
    cases = list(plan.cases)
    done = sum(case in measured.results for case in cases)
    with Bar(total=len(cases), initial=done, unit="process") as bar, StopSignals() as stop:
        for case in cases:
            if case in measured.results:
                continue
            bar.set_postfix_str(str(case))
            began = time.perf_counter()
            result = run_probe(case, plan, stop)
            measured.add(case, result, time.perf_counter() - began)
            bar.update()


def collect(plan: Plan, measured: Measured) -> Costs:
    """Medians and quartiles over the rounds of `plan`."""

    def over_rounds(algorithm: str, steps: int) -> Cost:
        found = [measured.results[Case(algorithm, steps, r)] for r in range(plan.rounds)]
        memory = [result["peak"] - result["base"] for result in found]
        seconds = [result["seconds"] for result in found]
        return Cost(Quartiles.of(memory), Quartiles.of(seconds))

    table = {
        (algorithm, steps): over_rounds(algorithm, steps)
        for algorithm in ALGORITHMS
        for steps in plan.inner_steps
    }
    bases = [result["base"] for result in measured.results.values()]
    return Costs(table, float(np.median(bases)), plan.rounds)


class Numbers(click.ParamType):
    """Two or more whole numbers from 1 on, with commas between them: sorted, each once."""

    name = "N,N,..."

    def convert(self, value, param, ctx) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            numbers = sorted({int(number) for number in value.split(",")})
        except ValueError:
            self.fail(f"{value!r} is not a row of numbers with commas between them", param, ctx)
        if numbers[0] < 1:
            self.fail(f"{value!r}: there is at least one inner step", param, ctx)
        if numbers[-1] > MOST_STEPS:
            self.fail(f"{value!r}: {numbers[-1]} is more than {MOST_STEPS:,}", param, ctx)
        if len(numbers) < 2:
            self.fail(f"{value!r}: give two numbers or more, to see what grows", param, ctx)
        return tuple(numbers)


@click.command(
    "cost",
    help="Measure the peak memory and time of an outer step of Reptile, first-order MAML and MAML "
    "for several numbers of inner steps, at the paper's Omniglot 5-way setting (inner batch 10, 5 "
    "tasks per outer step) with SGD as the inner optimizer. Every measurement is a process and "
    "takes about 15 seconds; run nothing else meanwhile. After an interruption, the same command "
    "continues. Writes cost.csv, cost.png, study.json and measurements.json.",
    epilog="""\b
Examples:
  reptile reproduce cost --out runs/cost
  reptile reproduce cost --out runs/cost-glyphs --data-dir data/glyphs --steps 1,5,20 --rounds 1
""",
)
@out_option
@data_option("data/omniglot")
@click.option(
    "--steps",
    "inner_steps",
    type=Numbers(),
    default="1,2,5,10,15,20",
    show_default=True,
    help="Numbers of inner steps to measure, including the last one (the tail of MAML and FOML).",
)
@click.option(
    "--rounds",
    default=3,
    show_default=True,
    type=Count(1, MOST_ROUNDS),
    help="Measurements per algorithm and number of steps; the table has medians and quartiles.",
)
@threads_option
def cost(out: Path, data_dir: str, inner_steps: tuple[int, ...], rounds: int, threads: int) -> None:
    plan = Plan(data_dir, inner_steps, rounds, threads)
    measured = Measured(out, threads)
    measure_all(plan, measured)
    costs = collect(plan, measured)
    write_report(out, costs, measured.seconds, measured.about, plan.command).show(out)
