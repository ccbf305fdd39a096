"""What people see while a sweep runs: a line for each trial that ends, in a terminal a table."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import TextIO

from tqdm import tqdm

from supervised_reptile.analysis.tables import Table
from supervised_reptile.errors import counted
from supervised_reptile.sweep.standing import (
    ENDED,
    FAILED,
    FINISHED,
    RUNNING,
    Standing,
    shown_accuracy,
    shown_value,
)
from supervised_reptile.system.progress_bar import terminal_size

BEST_SHOWN = 5
MOST_RUNNING = 12
REDRAW_SECONDS = 1.0


class LiveTable:
    """Standings by trial number, drawn on a terminal over and over in the same place."""

    def __init__(self, names: Sequence[str], total: int, screen: TextIO = sys.stderr) -> None:
        """`names`: of the flags that vary. `total`: trials of the sweep."""
        self.standings: dict[int, Standing] = {}
        self._names = tuple(names)
        self._total = total
        movable = screen.isatty() and os.environ.get("TERM") != "dumb"  # its cursor
        self._screen = screen if movable else None
        self._height = 0
        self._began = self._drawn = time.monotonic()
        self._done_before = 0

    def start(self, standings: Sequence[Standing]) -> None:
        """What earlier processes have done."""
        self.standings = {standing.trial.number: standing for standing in standings}
        self._done_before = self._done()

    def update(self, standing: Standing) -> None:
        """A trial has come further; if it ended, that is said in a line."""
        self.standings[standing.trial.number] = standing
        if standing.status in (*ENDED, FAILED):
            self.say(sentence(standing))

    def say(self, text: str) -> None:
        """A line above the table."""
        self.erase()
        print(text, flush=True)
        self.draw(force=True)

    def draw(self, force: bool = False) -> None:
        """The table as of now, at most once a second."""
        now = time.monotonic()
        if not self._screen or (now - self._drawn < REDRAW_SECONDS and not force):
            return
        self.erase()
        self._drawn = now
        width, height = terminal_size(self._screen)
        lines = [line[: width - 1] for line in self._text(now, width).splitlines()][: height - 1]
        self._screen.write("\n".join(lines) + "\n")
        self._screen.flush()
        self._height = len(lines)

    def erase(self) -> None:
        """Take the table away, so that other output has its place."""
        if self._screen and self._height:
            self._screen.write(f"\x1b[{self._height}A\x1b[J")
            self._screen.flush()
            self._height = 0

    def _done(self) -> int:
        return sum(standing.status in ENDED for standing in self.standings.values())

    def _text(self, now: float, width: int) -> str:
        running = [s for s in self.standings.values() if s.status == RUNNING]
        best = sorted((s for s in self.standings.values() if s.status == FINISHED), key=_place)
        shown = running[:MOST_RUNNING] + best[:BEST_SHOWN]
        rows = tuple(_row(standing, self._names) for standing in shown)
        columns = ("trial", *self._names, "state", "trained", "validation accuracy in %")
        table = Table("", columns, rows).text() + "\n" if rows else ""
        bar = tqdm.format_meter(
            self._done(), self._total, now - self._began, width - 1, unit="trial", ascii=False,
            initial=self._done_before,
        )  # fmt: skip
        return table + bar


def _place(standing: Standing) -> tuple[int, float]:
    return standing.place


def _row(standing: Standing, names: Sequence[str]) -> tuple[str, ...]:
    point, total = standing.trial.point, standing.trial.config.outer_steps
    values = (shown_value(point[name]) for name in names)
    share = f"{100 * standing.steps / total:.0f}%"
    number = f"{standing.trial.number:03d}"
    return number, *values, standing.status, share, shown_accuracy(standing)


def sentence(standing: Standing) -> str:
    """One trial that ended, in a line; with its last lines if it failed."""
    trial = standing.trial
    flags = ", ".join(f"{name} {shown_value(value)}" for name, value in trial.point.items())
    start = f"trial {trial.number:03d} {standing.status}"
    if standing.status == FAILED:
        lines = "".join(f"\n    {line}" for line in standing.failure.splitlines())
        return f"{start} ({flags}); all it said is in {trial.log}, the end:{lines}"
    at = "" if standing.status == FINISHED else f" after {counted(standing.steps, 'outer step')}"
    return f"{start}{at}: {shown_accuracy(standing)} ({flags})"
