"""Ctrl-C ends every command with status 130 and without a traceback, whatever it was doing."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from command_line import TINY, call, flags, tree
from strange_folder import write_strange_folder
from strange_lines import programs

PROGRAMS = programs()
LINES = {
    "run_omniglot.py": [*TINY, *flags(data_dir="alphabets", checkpoint="new")],
    "run_miniimagenet.py": [*TINY, *flags(data_dir="mini", checkpoint="new")],
    "reptile train": [*TINY, "photos", *flags(checkpoint="new")],
    "reptile predict": flags(checkpoint="weights.npz", support="support", query="photos/one"),
    "reptile export": flags(checkpoint="weights.npz", format="npz", out="new"),
    "reptile plot": ["run", "--out", "new.png"],
    "reptile compare": ["run", "other run"],
    "reptile report": ["run", "--out", "new"],
    "reptile sweep": ["space.toml", *flags(data_dir="alphabets", out="new", trials=1)],
    "reptile data import": ["mini", "--out", "new"],
    "reptile data verify": ["photos"],
    "reptile data info": ["photos"],
}


class Finger:
    """Presses Ctrl-C as soon as a file in the current folder is opened, once."""

    def __init__(self) -> None:
        self.raised = False
        sys.addaudithook(self._press)  # for ever, Python takes none back

    def _press(self, event: str, arguments: tuple) -> None:
        if self.raised and event == "open" and isinstance(arguments[0], str | Path):
            path = os.path.join(os.getcwd(), os.fspath(arguments[0]))
            if "/strange-" in path and os.path.isfile(path):
                self.raised = False
                signal.raise_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def finger() -> Finger:
    """One for all tests."""
    return Finger()


@pytest.mark.parametrize("name", LINES)
def test_ctrl_c_while_files_are_read(
    tmp_path: Path, finger: Finger, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = write_strange_folder(tmp_path / "strange-folder")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("REPTILE_CACHE", str(tmp_path / "cache"))  # else nothing need be read
    before, program = tree(folder), PROGRAMS[name]
    finger.raised = True
    outcome = call(*program.words, *LINES[name], command=program.command)
    assert not finger.raised
    # On a line of its own, after the ^C that a terminal shows.
    assert (outcome.code, outcome.err, outcome.out) == (130, "\nInterrupted.\n", "")
    assert tree(folder) == before
