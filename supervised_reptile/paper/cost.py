"""`reptile reproduce cost`: memory and time of an outer step of MAML, FOML and Reptile."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from supervised_reptile.analysis.plots import COLORS, Label, label_ends, new_figure, save
from supervised_reptile.analysis.study import Figure, Study, write_csv, write_study
from supervised_reptile.analysis.tables import Table
from supervised_reptile.config import Count
from supervised_reptile.errors import Interrupted, UserError, counted
from supervised_reptile.paper.options import (
    ALGORITHM_NAMES,
    data_option,
    out_option,
    threads_option,
)
from supervised_reptile.system import machine
from supervised_reptile.system.atomic_files import read_json, reading, write_json, writing
from supervised_reptile.system.progress_bar import Bar
from supervised_reptile.system.stop_signals import StopSignals

NAMES = {name: ALGORITHM_NAMES[name] for name in ("reptile", "foml", "maml")}
LINES = {"reptile": ("o", "-"), "foml": ("s", "--"), "maml": ("^", "-")}  # markers and dashes
PROBE = "supervised_reptile.paper.cost_probe"
MEASUREMENTS, FIGURE = "measurements.json", "cost.png"
QUANTITIES = ("base", "peak", "seconds")  # see `cost_probe.measure`
MAX_ROUNDS = 1000
MAX_STEPS = 10_000  # MAML keeps all of them in memory
POLL_SECONDS = 0.1


# ---- measuring, a process for each case


class Case(NamedTuple):
    """One process's work."""

    algorithm: str
    inner_steps: int
    round: int

    def __str__(self) -> str:
        return f"{self.algorithm}, {counted(self.inner_steps, 'inner step')}, round {self.round}"


class Measurements:
    """What was measured so far, kept in a file that is replaced after every measurement."""

    def __init__(self, folder: Path, threads: int) -> None:
        """Continue with what is in `folder`.

        Raises:
          UserError: it was measured elsewhere, cannot be read, or nothing can be written there.
        """
        self._path = folder / MEASUREMENTS
        self.about = {**machine.describe(), "threads": str(threads or "all")}
        self.seconds = 0.0  # of measuring, over all sessions
        self.results: dict[Case, dict[str, float]] = {}
        if self._path.exists():
            self._read()
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def add(self, case: Case, result: dict[str, float], seconds: float) -> None:
        """Keep what the process for `case` measured in `seconds`."""
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
                    f"{self._path} was measured with {name} {about.get(name)}, and here it is "
                    f"{value}: use another --out"
                )


def run_probe(case: Case, data_dir: str, threads: int, stop: StopSignals) -> dict[str, float]:
    """Measure `case` in a process of its own.

    Raises:
      Interrupted: SIGINT or SIGTERM came; the process was ended.
      UserError: it failed.
    """
    words = [case.algorithm, str(case.inner_steps), data_dir, str(threads)]
    process = subprocess.Popen(
        [sys.executable, "-m", PROBE, *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,  # a Ctrl-C reaches this program alone, which ends the process
    )  # fmt: skip
    with process:
        while not stop.received:
            try:
                out, errors = process.communicate(timeout=POLL_SECONDS)
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


def measure_all(
    measurements: Measurements, cases: Sequence[Case], data_dir: str, threads: int
) -> None:
    """Measure the cases that have not been measured yet."""
    missing = [case for case in cases if case not in measurements.results]
    done = len(cases) - len(missing)
    with Bar(total=len(cases), initial=done, unit="process") as bar, StopSignals() as stop:
        for case in missing:
            bar.set_postfix_str(str(case))
            began = time.perf_counter()
            result = run_probe(case, data_dir, threads, stop)
            measurements.add(case, result, time.perf_counter() - began)
            bar.update()


# ---- table, figure and text


class Costs(NamedTuple):
    """Of an outer step, by algorithm: quartiles over rounds, float64 [inner steps, 3]."""

    inner_steps: tuple[int, ...]  # two or more, ascending
    rounds: int
    base: float  # MiB, resident before the first outer step
    memory: dict[str, np.ndarray]  # MiB, peak above what was resident before the first outer step
    seconds: dict[str, np.ndarray]


def summarize(measurements: Measurements, inner_steps: tuple[int, ...], rounds: int) -> Costs:
    """Medians and quartiles over the rounds."""
    memory, seconds = {}, {}
    for algorithm in NAMES:
        values = np.array(
            [
                [
                    [measurements.results[Case(algorithm, steps, number)][q] for q in QUANTITIES]
                    for number in range(rounds)
                ]
                for steps in inner_steps
            ]
        )  # [inner steps, rounds, quantities]
        base, peak, time_taken = np.moveaxis(values, -1, 0)
        memory[algorithm] = np.percentile(peak - base, (25, 50, 75), axis=1).T
        seconds[algorithm] = np.percentile(time_taken, (25, 50, 75), axis=1).T
    base = float(np.median([result["base"] for result in measurements.results.values()]))
    return Costs(inner_steps, rounds, base, memory, seconds)


def write_numbers(path: Path, costs: Costs) -> None:
    """The costs as CSV."""
    columns = ["algorithm", "inner_steps", "rounds"]
    for quantity in ("memory_mib", "seconds"):
        columns += [quantity, f"{quantity}_quartile1", f"{quantity}_quartile3"]
    rows = []
    for name in NAMES:
        both = np.hstack([costs.memory[name], costs.seconds[name]])[:, [1, 0, 2, 4, 3, 5]]
        for steps, values in zip(costs.inner_steps, both, strict=True):
            rows.append((name, steps, costs.rounds, *(f"{value:.6g}" for value in values)))
    write_csv(path, columns, rows)


def table(costs: Costs) -> Table:
    """A row for each number of inner steps."""

    def cell(quartiles: np.ndarray) -> str:
        return "{1:.3g} ({0:.3g} to {2:.3g})".format(*quartiles)

    columns = ("inner steps", *(f"{name}, MiB" for name in NAMES.values()))
    columns += tuple(f"{name}, ms" for name in NAMES.values())
    rows = []
    for i, steps in enumerate(costs.inner_steps):
        memory = [cell(costs.memory[name][i]) for name in NAMES]
        rows.append((str(steps), *memory, *(cell(1000 * costs.seconds[name][i]) for name in NAMES)))
    note = (
        f"Medians over {counted(costs.rounds, 'round')}, quartiles in brackets. Memory: peak "
        f"above the {costs.base:.0f} MiB that are resident before the first outer step."
    )
    return Table("An outer step: peak memory and time", columns, tuple(rows), note)


def text(costs: Costs) -> str:
    """What was measured, and what it shows."""
    slopes = {  # of the least squares lines
        name: np.polyfit(costs.inner_steps, costs.memory[name][:, 1], 1)[0] for name in NAMES
    }
    growth = ", ".join(f"{slopes[name]:.1f} MiB in {NAMES[name]}" for name in NAMES)
    most = costs.inner_steps[-1]
    maml, reptile = (costs.seconds[name][-1, 1] for name in ("maml", "reptile"))
    return (
        "Omniglot, 5-way, the paper's setting (inner batch 10, five tasks an outer step side by "
        "side), SGD as the inner optimizer. All three compute one gradient for each inner step; "
        "MAML keeps what every one of them computed, in order to differentiate through it, and "
        "Reptile and FOML keep nothing.\n\n"
        f"Memory for each further inner step: {growth}. With {counted(most, 'inner step')} "
        f"MAML's outer step takes {maml / reptile:.1f} times as long as Reptile's.\n\n"
        "Every measurement is a process of its own, rounds interleaved. Memory is the most that "
        "was resident during the outer steps, the compiled graph included, less what was resident "
        "before the first one (program, images, weights). MAML's graph is the larger by its "
        "derivatives: that is what it needs more with a single inner step, where it computes "
        "exactly what FOML does."
    )


def draw(path: Path, costs: Costs) -> None:
    """Memory and time against inner steps."""
    figure = new_figure(9, 3.8)
    memory, seconds = figure.subplots(1, 2)
    memory.set_title(f"Peak memory over {costs.base:.0f} MiB before training (MiB)", fontsize=10)
    seconds.set_title("Time of an outer step (ms)", fontsize=10)
    for axes, of, factor in ((memory, costs.memory, 1), (seconds, costs.seconds, 1000)):
        steps, ends, top = costs.inner_steps, [], 0.0
        for algorithm, color in zip(NAMES, COLORS, strict=False):
            low, median, high = factor * of[algorithm].T
            marker, dash = LINES[algorithm]
            axes.errorbar(steps, median, [median - low, high - median], color=color, marker=marker,
                          ls=dash, ms=5, capsize=2.5, lw=1.5)  # fmt: skip
            ends.append(Label(NAMES[algorithm], steps[-1], median[-1], color))
            top = max(top, high.max())
        axes.set(xlabel="inner steps", xticks=steps, ylim=(0, 1.08 * top))
        axes.grid(alpha=0.3)
        label_ends(axes, ends)
    with writing(path):
        save(figure, path)


# ---- the command


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
        if numbers[-1] > MAX_STEPS:
            self.fail(f"{value!r}: {numbers[-1]} is more than {MAX_STEPS:,}", param, ctx)
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
@data_option("--data-dir", "data/omniglot", "Omniglot")
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
    type=Count(1, MAX_ROUNDS),
    help="Measurements per algorithm and number of steps; the table has medians and quartiles.",
)
@threads_option
def cost(out: Path, data_dir: str, inner_steps: tuple[int, ...], rounds: int, threads: int) -> None:
    measurements = Measurements(out, threads)
    # Round by round, so that a machine that drifts slows all algorithms alike.
    cases = [
        Case(a, steps, number) for number in range(rounds) for steps in inner_steps for a in NAMES
    ]
    measure_all(measurements, cases, data_dir, threads)
    costs = summarize(measurements, inner_steps, rounds)
    write_numbers(out / "cost.csv", costs)
    draw(out / FIGURE, costs)
    caption = f"Medians over {counted(rounds, 'round')}; bars reach from quartile to quartile."
    command = f"reptile reproduce cost --out DIR --steps {','.join(map(str, inner_steps))}"
    command += f" --rounds {rounds}" + (f" --threads {threads}" if threads else "")
    study = Study(
        name="cost",
        title="What second derivatives cost: Reptile, FOML and MAML",
        text=text(costs),
        commands=(command,),
        seconds=measurements.seconds,
        environment=measurements.about,
        tables=(table(costs),),
        figures=(Figure("Memory and time of an outer step", FIGURE, caption),),
    )
    write_study(out, study)
    study.show(out)
