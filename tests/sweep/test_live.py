"""What a terminal shows while a sweep runs."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from supervised_reptile.sweep.dimensions import Choices, Range
from supervised_reptile.sweep.live import LiveTable
from supervised_reptile.sweep.space import Space
from supervised_reptile.sweep.standing import FAILED, FINISHED, RUNNING, STOPPED, Standing
from supervised_reptile.sweep.trials import Plan, Trial, make_trial

SPACE = Space(
    "omniglot",
    "random",
    {"learning-rate": Range(1e-4, 1e-2, log=True), "sgd": Choices((True, False))},
    {"val-classes": 5, "meta-iters": 80},
)
ERASE = re.compile(r"\x1b\[(\d+)A\x1b\[J")


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")


class Terminal(io.StringIO):
    """A screen that understands what the table writes."""

    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        """What is to be seen in the end."""
        seen: list[str] = []
        for part in re.split(r"(\x1b\[\d+A\x1b\[J)", self.getvalue()):
            if erased := ERASE.fullmatch(part):
                assert len(seen) >= int(erased[1])
                del seen[len(seen) - int(erased[1]) :]
            else:
                seen += part.splitlines()
        return seen


def trial(number: int) -> Trial:
    plan = Plan(SPACE, "/data", Path("/sweep"), 4, 1, 1, 0.0, None)
    return make_trial(plan, number, {"learning-rate": 1e-3 * (number + 1), "sgd": False})


def test_running_trials_and_the_best_are_in_the_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    screen = Terminal()
    table = LiveTable(list(SPACE.dimensions), 4, screen)
    table.start([Standing(trial(0), FINISHED, 0.9, 0.01, 80)])
    table.update(Standing(trial(1), RUNNING))
    table.update(Standing(trial(2), RUNNING, 0.5, steps=20))
    table.draw(force=True)
    table.update(Standing(trial(1), FINISHED, 0.95, 0.01, 80))
    text = "\n".join(screen.lines)
    order = [line.split()[0] for line in screen.lines if re.match(r" *00\d", line)]
    assert order == ["002", "001", "000"]
    assert re.search(r"002 +0\.003 +False +running +25% +50\.00", text)
    assert re.search(r"001 +0\.002 +False +finished +100% +95\.00 ± 1\.00", text)
    assert "2/4 [" in text
    printed = capsys.readouterr().out
    assert printed == "trial 001 finished: 95.00 ± 1.00 (learning-rate 0.002, sgd False)\n"


def test_every_end_is_a_line(capsys: pytest.CaptureFixture) -> None:
    table = LiveTable(list(SPACE.dimensions), 4, io.StringIO())
    table.update(Standing(trial(0), RUNNING, 0.1, steps=10))
    table.update(Standing(trial(0), STOPPED, 0.2, steps=20))
    table.update(Standing(trial(1), FAILED, failure="first line\nlast line"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("trial 000 stopped early after 20 outer steps: 20.00 (")
    assert "/sweep/trials/001.log" in lines[1]
    assert [line.strip() for line in lines[2:]] == ["first line", "last line"]


def test_a_terminal_whose_cursor_cannot_move_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    screen = Terminal()
    LiveTable(list(SPACE.dimensions), 4, screen).draw(force=True)
    assert not screen.getvalue()


def test_no_line_is_wider_or_higher_than_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LINES", "6")
    screen = Terminal()
    table = LiveTable(list(SPACE.dimensions), 4, screen)
    for number in range(9):
        table.update(Standing(trial(number), RUNNING))
    table.draw(force=True)
    assert len(screen.lines) < 6
    assert max(map(len, screen.lines)) < 40


def test_a_file_gets_no_table() -> None:
    screen = io.StringIO()
    table = LiveTable(list(SPACE.dimensions), 4, screen)
    table.update(Standing(trial(0), RUNNING))
    table.draw(force=True)
    assert not screen.getvalue()
