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


@pytest.mark.parametrize("words", [["compare"], ["report"], ["compare", "--csv"]])
def test_nobody_reads_the_output(tmp_path: Path, words: list[str]) -> None:
    """As in `reptile compare runs/* | head -1`: no traceback, and no wrong reason."""
    answers = {"transductive_test": some_answers(1)}
    run = write_result(write_run(tmp_path / "run"), answers)
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "supervised_reptile", *words, str(run)],
            stdout=pipe, stderr=subprocess.PIPE, text=True, cwd=tmp_path, timeout=PATIENCE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == ""
