"""What people see of every command without having read anything: its help, and quiet ends."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from command_line import PATIENCE, ROOT, call
from doc_commands import Command, understand
from stored_runs import some_answers, write_result, write_run
from strange_lines import Program, options_of, programs

PROGRAMS = programs()


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_says_what_the_command_does(name: str) -> None:
    program = PROGRAMS[name]
    outcome = call(*program.words, "--help", command=program.command)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("Usage: ")
    assert len((program.target.help or "").split()) >= 4
    assert not re.search(r"None|<=x?\s*\d{10}", outcome.out)  # click's, of limits that mean nothing
    assert call(*program.words, "-h", command=program.command) == outcome


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_flag_is_explained_with_its_default(name: str) -> None:
    command = PROGRAMS[name].target
    context = click.Context(command)
    for option in options_of(command):
        flag, text = option.get_help_record(context)
        assert (option.help or "").strip().endswith((".", ")")), flag
        if not option.is_flag and isinstance(option.default, str | int | float):
            assert "default" in text, flag


def examples(program: Program) -> list[str]:
    """The command lines at the end of its --help, each as one line."""
    _, _, text = call(*program.words, "--help", command=program.command).out.partition("Examples:")
    return re.sub(r"\n {6,}", " ", text).split("\n")


@pytest.mark.parametrize("name", [n for n, p in PROGRAMS.items() if examples(p) != [""]])
def test_examples_are_commands(name: str) -> None:
    lines = [line.partition(">")[0] for line in examples(PROGRAMS[name]) if line.strip()]
    assert len(lines) >= 2
    for line in lines:
        outcome = understand(Command(0, tuple(shlex.split(line))))
        assert outcome.code == 0, (line, outcome.err)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_result(write_run(tmp_path / "run"), {"transductive_test": some_answers(1)})


def redirected(words: list[object], redirection: str = "", **pipes: object) -> tuple[int, str, str]:
    """Exit status, output and errors of `reptile WORDS...` with the shell's redirection."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **pipes}
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", "supervised_reptile",
         *map(str, words)],
        text=True, timeout=PATIENCE, env={**os.environ, "PYTHONPATH": str(ROOT)}, **pipes,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("words", [["compare"], ["report", "--out", "page"], ["compare", "--csv"]])
def test_nobody_reads_the_output(run: Path, words: list[str]) -> None:
    """As in `reptile compare runs/* | head -1`: no traceback, and no wrong reason."""
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as pipe:
        code, _, errors = redirected([*words, run], stdout=pipe, cwd=run.parent)
    assert (code, errors) == (1, "")


CLOSED = {
    ("--help",): 0,
    ("compare", "--help"): 0,
    ("compare", "run"): 0,
    ("compare", "nowhere"): 1,
    ("report", "run"): 0,
    ("nonsense",): 2,
}


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("words", CLOSED)
def test_closed_streams(run: Path, words: tuple[str, ...], closed: str) -> None:
    """What would be printed is lost; all else is as usual."""
    usual = redirected(list(words), cwd=run.parent)
    code, out, errors = redirected(list(words), closed, cwd=run.parent)
    assert code == usual[0] == CLOSED[words]
    assert out == ("" if ">&-" in closed.split() else usual[1])
    assert errors == ("" if "2>&-" in closed.split() else usual[2])
    assert (run.parent / "report" / "report.md").exists() == (words[0] == "report")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("how", [">/dev/full", "1</dev/null"])
def test_output_that_cannot_be_written(run: Path, how: str) -> None:
    code, _, errors = redirected(["compare", run], how)
    assert code == 1
    assert errors.startswith("Error: standard output: cannot write there (")
    assert errors.count("\n") == 1
    # Standard error is for people: without it the status says all.
    assert redirected(["compare", "nowhere"], "2>/dev/full")[0] == 1
    assert redirected(["nonsense"], "2>/dev/full")[0] == 2
