"""Whatever is typed, the commands run, or say in one line what is wrong: never a traceback.

The long form, many more lines, is marked `soak`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest
from command_line import PATIENCE, Outcome, call, flags, tree
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from strange_folder import write_strange_folder
from strange_lines import Program, lines, programs, working_lines
from strange_spaces import spaces

from supervised_reptile.errors import one_line

PROGRAMS = programs()
FEW, MANY = 4, 200  # lines for each program, in the short form and the long one


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every line finds."""
    return write_strange_folder(tmp_path_factory.mktemp("strange") / "folder")


@contextlib.contextmanager
def used(folder: Path) -> Iterator[Path]:
    """The block happens in `folder`, which is afterwards as it was."""
    before, inside, content = Path.cwd(), found_in(folder), tree(folder)
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(before)
        for path in sorted(found_in(folder) - inside, reverse=True):  # what is in folders first
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        assert found_in(folder) == inside, "a file that was there is gone"
        assert tree(folder) == content, "a file that was there has changed"


def found_in(folder: Path) -> set[Path]:
    """All that is in the folder, however deep."""
    return set(folder.rglob("*"))


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Presses Ctrl-C if the block takes for ever, which makes for a status that is not allowed."""
    watchdog = threading.Timer(PATIENCE, os.kill, (os.getpid(), signal.SIGINT))
    watchdog.start()
    try:
        yield
    finally:
        watchdog.cancel()


def answer(
    folder: Path, program: Program, words: list[str], files: Mapping[str, str] | None = None
) -> Outcome:
    """What comes of a line: it ran, or said in one line what is wrong. `files` are added."""
    note(shlex.join([program.name, *words]))
    with used(folder), watched():
        for name, text in (files or {}).items():
            (folder / name).write_text(text, encoding="utf8")
        outcome = call(*words, command=program.command)
    assert "Traceback" not in outcome.out + outcome.err
    assert outcome.code in (0, 1, 2), outcome
    if outcome.code:
        assert_told(outcome, program, words)
    return outcome


def assert_told(outcome: Outcome, program: Program, words: list[str]) -> None:
    """The last line says what is wrong, and names something that the person knows."""
    if isinstance(program.target, click.Group) and not outcome.err.startswith("Error: "):
        assert outcome.err.startswith("Usage: "), outcome
        return  # a group alone is answered with what is in it
    if not outcome.err:  # `reptile data verify` reports what is broken
        assert outcome.code == 1
        assert outcome.out.splitlines()[-1].startswith("broken: ")
        return
    *before, message = outcome.err.splitlines()
    assert message.startswith("Error: "), outcome.err
    assert message.isprintable()
    assert not any(line.startswith("Error: ") for line in before)
    known = [one_line(part) for word in words for part in (word, word.partition("=")[2]) if part]
    flag_file_or_argument = r"--|\w[/.]\w|'-?\w|argument|option|command|SUBCOMMAND"
    assert re.search(flag_file_or_argument, message) or any(w in message for w in known), message


def fuzz(folder: Path, name: str, examples: int, drawn: st.SearchStrategy) -> Counter[int]:
    """Call a program with that many of the lines; returns how often each exit status came."""
    program, codes = PROGRAMS[name], Counter()

    @settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(drawn)
    def check(words: list[str]) -> None:
        codes[answer(folder, program, words).code] += 1

    check()
    return codes


CHEAP = list(PROGRAMS)


@pytest.mark.parametrize("name", CHEAP)
def test_every_line_is_answered(folder: Path, name: str) -> None:
    fuzz(folder, name, FEW, lines(PROGRAMS[name]))


@pytest.mark.soak
@pytest.mark.parametrize("name", CHEAP)
def test_many_lines_are_answered(folder: Path, name: str) -> None:
    fuzz(folder, name, MANY, lines(PROGRAMS[name]))


# Lines that do what they say: how many of them in the long form. A run takes seconds, most of them
# TensorFlow's to compile it.
WORKING = {
    "run_omniglot.py": 24, "run_miniimagenet.py": 4, "reptile train": 12, "reptile sine": 12,
    "reptile predict": 12, "reptile export": 10, "reptile plot": 12, "reptile compare": 12,
    "reptile report": 12, "reptile data glyphs": 8, "reptile data import": 8,
    "reptile data verify": 8, "reptile data info": 8,
}  # fmt: skip
SLOW = ("run_omniglot.py", "run_miniimagenet.py", "reptile train", "reptile sine")


@pytest.mark.parametrize("name", [name for name in WORKING if name not in SLOW[1:]])
def test_sound_lines_run(folder: Path, name: str) -> None:
    fuzz(folder, name, 2, working_lines(PROGRAMS[name]))


@pytest.mark.soak
@pytest.mark.parametrize("name", WORKING)
def test_many_sound_lines_run(folder: Path, name: str) -> None:
    codes = fuzz(folder, name, WORKING[name], working_lines(PROGRAMS[name]))
    assert 4 * codes[0] >= codes.total(), codes  # else the lines are no longer what they are for


def fuzz_spaces(folder: Path, examples: int) -> None:
    """`reptile sweep` says what is wrong with drawn files, or else that there are no data."""
    words = ["sweep", "drawn.toml", *flags(out="new", data_dir="nowhere", trials=2)]

    @settings(max_examples=examples, derandomize=True, deadline=None)
    @given(spaces())
    def check(text: str) -> None:
        outcome = answer(folder, PROGRAMS["reptile"], words, {"drawn.toml": text})
        assert outcome.code, outcome

    check()


def test_every_space_is_answered(folder: Path) -> None:
    fuzz_spaces(folder, 5 * FEW)


@pytest.mark.soak
def test_many_spaces_are_answered(folder: Path) -> None:
    fuzz_spaces(folder, 5 * MANY)
