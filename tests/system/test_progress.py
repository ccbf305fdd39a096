"""Progress bars."""

from __future__ import annotations

import gc
import io
import os
import pty
import sys

import pytest
from tqdm import tqdm

from supervised_reptile.system.progress_bar import Bar, terminal_size


def test_where_nobody_looks_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(Bar(range(3), "Reading")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")
    list(Bar(range(3), "Reading", disable=False))
    assert "Reading: 100%" in capsys.readouterr().err


def test_a_closed_standard_error_gets_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert list(Bar(range(3), "Reading")) == [0, 1, 2]


def test_a_terminal_without_a_size() -> None:
    """As `script`, containers and CI give it."""
    master, slave = pty.openpty()
    with open(slave, "w") as screen:
        assert terminal_size(screen).columns >= 80
    os.close(master)


@pytest.mark.parametrize("columns", ["0", "1"])
def test_sizes_that_no_terminal_has(monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert terminal_size(io.StringIO()).columns >= 80


def test_a_bar_that_was_interrupted_half_made_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    said: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    monkeypatch.setattr(tqdm, "__init__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Bar(range(3))
    gc.collect()
    assert not said
