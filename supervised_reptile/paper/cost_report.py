"""What `reptile reproduce cost` leaves for people: table, figure, study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from supervised_reptile.analysis.plots import COLORS, Label, label_ends, save
from supervised_reptile.analysis.study import Figure, Study, Table, write_csv, write_study
from supervised_reptile.errors import counted
from supervised_reptile.system.atomic_files import writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMES = {"reptile": "Reptile", "foml": "FOML", "maml": "MAML"}
LOOKS = {"reptile": ("o", "-"), "foml": ("s", "--"), "maml": ("^", "-")}  # markers and lines
CSV, PNG = "cost.csv", "cost.png"


class Quartiles(NamedTuple):
    """A median over rounds between its quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Quartiles:
        """Those of `values`, one or more."""
        low, median, high = np.percentile(values, [25, 50, 75])
        return cls(float(median), float(low), float(high))


class Cost(NamedTuple):
    """Of an outer step."""

    memory: Quartiles  # MiB, at most resident over what was resident before the first one
    seconds: Quartiles


class Costs(NamedTuple):
    """What was measured with at least two numbers of inner steps, `rounds` processes each."""

    of: Mapping[tuple[str, int], Cost]  # (algorithm, inner steps)
    base: float  # MiB, resident before the first outer step
    rounds: int

    @property
    def inner_steps(self) -> list[int]:
        """Ascending."""
        return sorted({steps for _, steps in self.of})

    def growth(self, algorithm: str) -> float:
        """MiB that each further inner step takes: the slope of the least squares line."""
        memory = [self.of[algorithm, steps].memory.median for steps in self.inner_steps]
        return float(np.polyfit(self.inner_steps, memory, 1)[0])

    def slower(self) -> float:
        """How many times Reptile's time MAML takes with the most inner steps."""
        steps = self.inner_steps[-1]
        maml, reptile = (self.of[name, steps].seconds.median for name in ("maml", "reptile"))
        return maml / reptile


def write_report(
    folder: Path, costs: Costs, seconds: float, about: Mapping[str, str], command: str
) -> Study:
    """Write cost.csv, cost.png and study.json into `folder`.

    Args:
      seconds: of measuring, over all sessions.
      about: machine, versions and threads.
      command: that repeats it.

    Raises:
      UserError: they cannot be written.
    """
    _write_csv(folder / CSV, costs)
    _draw(folder / PNG, costs)
    study = Study(
        name="cost",
        title="What second derivatives cost: Reptile, FOML and MAML",
        text=_text(costs),
        commands=(command,),
        seconds=seconds,
        environment=about,
        tables=(_table(costs),),
        figures=(Figure("Memory and time of an outer step", PNG, _caption(costs)),),
    )
    write_study(folder, study)
    return study


def _write_csv(path: Path, costs: Costs) -> None:
    columns = ["algorithm", "inner_steps", "rounds"]
    for quantity in ("memory_mib", "seconds"):
        columns += [quantity, f"{quantity}_quartile1", f"{quantity}_quartile3"]
    rows = (
        (*case, costs.rounds, *(f"{value:.6g}" for quartiles in cost for value in quartiles))
        for case, cost in costs.of.items()
    )
    write_csv(path, columns, rows)


def _table(costs: Costs) -> Table:
    columns = ("inner steps", *(f"{name}, MiB" for name in NAMES.values()))
    columns += tuple(f"{name}, ms" for name in NAMES.values())
    rows = []
    for steps in costs.inner_steps:
        of = [costs.of[algorithm, steps] for algorithm in NAMES]
        memory = [_cell(cost.memory, 1) for cost in of]
        rows.append((str(steps), *memory, *(_cell(cost.seconds, 1000) for cost in of)))
    note = (
        f"Medians over {counted(costs.rounds, 'round')}, quartiles in brackets. Memory: peak "
        f"above the {costs.base:.0f} MiB that are resident before the first outer step."
    )
    return Table("An outer step: peak memory and time", columns, tuple(rows), note)


def _cell(quartiles: Quartiles, factor: float) -> str:
    median, low, high = (f"{factor * value:.3g}" for value in quartiles)
    return f"{median} ({low} to {high})"


def _text(costs: Costs) -> str:
    growth = ", ".join(f"{costs.growth(name):.1f} MiB in {NAMES[name]}" for name in NAMES)
    return (
        "Omniglot, 5-way, the paper's setting (inner batch 10, five tasks an outer step side by "
        "side), SGD as the inner optimizer. All three compute one gradient for each inner step; "
        "MAML keeps what every one of them computed, in order to differentiate through it, and "
        "Reptile and FOML keep nothing.\n\n"
        f"Memory for each further inner step: {growth}. With "
        f"{counted(costs.inner_steps[-1], 'inner step')} MAML's outer step takes "
        f"{costs.slower():.1f} times as long as Reptile's.\n\n"
        "Every measurement is a process of its own, rounds interleaved. Memory is the most that "
        "was resident during the outer steps, the compiled graph included, less what was resident "
        "before the first one (program, images, weights). MAML's graph is the larger by its "
        "derivatives: that is what it needs more with a single inner step, where it computes "
        "exactly what FOML does."
    )


def _caption(costs: Costs) -> str:
    return f"Medians over {counted(costs.rounds, 'round')}; bars reach from quartile to quartile."


def _draw(path: Path, costs: Costs) -> None:
    from matplotlib.figure import Figure as Canvas  # slow to import

    canvas = Canvas(figsize=(9, 3.8), layout="constrained")
    left, right = canvas.subplots(1, 2)
    _panel(left, costs, "memory", 1)
    left.set_title(f"Peak memory over {costs.base:.0f} MiB before training (MiB)", fontsize=10)
    _panel(right, costs, "seconds", 1000)
    right.set_title("Time of an outer step (ms)", fontsize=10)
    with writing(path):
        save(canvas, path)


def _panel(axes: Axes, costs: Costs, quantity: str, factor: float) -> None:
    """One quantity against inner steps, a named line for each algorithm."""
    steps, ends, top = costs.inner_steps, [], 0.0
    for algorithm, color in zip(NAMES, COLORS, strict=False):
        values = [getattr(costs.of[algorithm, s], quantity) for s in steps]
        median, low, high = factor * np.array(values).T
        marker, line = LOOKS[algorithm]
        bars = [median - low, high - median]
        axes.errorbar(
            steps, median, bars, color=color, marker=marker, ls=line, ms=5, capsize=2.5, lw=1.5
        )
        ends.append(Label(NAMES[algorithm], steps[-1], median[-1], color))
        top = max(top, high.max())
    axes.set(xlabel="inner steps", xticks=steps, ylim=(0, 1.08 * top))
    axes.grid(alpha=0.3)
    label_ends(axes, ends)
