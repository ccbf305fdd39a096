"""The commands in documentation, run as readers would paste them, at the sizes of a test.

    done = run_commands(ROOT / "docs" / "tutorial.md", {"reptile sine": {"meta_iters": 100}})

gives every ```bash block of the page to bash, in order, in the current folder. Bash finds
stand-ins for our programs, which hand the command over: it runs here, with smaller sizes, before
bash goes on. So loops, variables and quotes are bash's own matter. Every command has to be known
by how it begins, so that none is added to a page without a thought of how to test it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from unittest.mock import patch

import click
from command_line import ROOT, Outcome, call, flags, script

from supervised_reptile.cli.main import reptile
from supervised_reptile.cli.run_command import RunCommand, interpret
from supervised_reptile.distributed.tf_config import VARIABLE, read_rank

FENCE = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
# A run that is only evaluated has its other sizes already, one that is continued all of them.
OF_EVALUATION = {"eval_iters", "eval_samples"}
# What else of the system a page may use.
TOOLS = ("bash", "head", "paste", "sed")
NOTHING_TO_ACTIVATE = "source() { :; }"  # the environment is the one that the tests run in
Sizes = Mapping[str, Any]  # flags as `command_line.flags` takes them


# A training run that goes through everything once.
TINY: Sizes = {
    "classes": 2,
    "shots": 1,
    "train_shots": 2,
    "inner_batch": 2,
    "inner_iters": 2,
    "meta_batch": 1,
    "meta_iters": 4,
    "eval_interval": 2,
    "eval_samples": 4,
    "eval_iters": 2,
    "eval_batch": 2,
}


class Unrun(NamedTuple):
    """A command that a test cannot run: only its words are understood, flags and values."""

    why: str


Plan = Mapping[str, Sizes | Unrun]  # how commands begin -> what to do with them


class Command(NamedTuple):
    """One command of a page, as bash understands it."""

    line: int  # of the page, where its block begins
    words: tuple[str, ...]
    cluster: str = ""  # TF_CONFIG

    @property
    def text(self) -> str:
        """The command in one line."""
        return shlex.join(self.words)

    @property
    def form(self) -> tuple[str, ...]:
        """All words but those that follow a flag, its values."""
        pairs = itertools.pairwise(("", *self.words))
        return tuple(w for before, w in pairs if w[:2] == "--" or before[:2] != "--")


def run_commands(
    page: Path, plan: Plan, stand_ins: Mapping[str, str] | None = None
) -> list[tuple[Command, Outcome]]:
    """Run the page's commands in order, each of which must succeed.

    Commands of a block that differ in values only are passes of a loop, of which the first runs.

    Args:
      plan: how commands begin -> flags to add, so that they take a moment (the last of two equal
        flags counts), or Unrun. The longest beginning counts.
      stand_ins: other programs -> what bash runs instead of them.

    Returns:
      What ran, and how it ended.
    """
    done = []
    programs = {shlex.split(beginning)[0] for beginning in plan}
    with _stand_ins(programs, stand_ins or {}) as folder:
        for line, block in blocks_of(page):
            seen: set[tuple[str, ...]] = set()
            for command in _commands(line, block, folder):
                place = f"{page.name}, block of line {line}: {command.text}"
                beginning = _beginning(command, plan, place)
                sizes = plan[beginning]
                if isinstance(sizes, Unrun):
                    outcome = understand(command)
                elif command.form in seen:
                    continue
                else:
                    seen.add(command.form)
                    outcome = run_words(_with_sizes(command.words, sizes))
                    done.append((command, outcome))
                assert outcome.code == 0, f"{place}\n{outcome.err}"
    return done


def blocks_of(page: Path, fence: re.Pattern[str] = FENCE) -> Iterator[tuple[int, str]]:
    """Line and text of the page's bash blocks, or those of another `fence`."""
    text = page.read_text(encoding="utf8")
    for block in fence.finditer(text):
        yield text.count("\n", 0, block.start(1)) + 1, block[1]


@contextlib.contextmanager
def _stand_ins(programs: set[str], others: Mapping[str, str]) -> Iterator[Path]:
    """A folder with stand-ins for `programs`, scripts of `others`, and TOOLS."""
    scripts = {name: _hand_over(name) for name in programs} | others
    with tempfile.TemporaryDirectory() as folder:
        for name in TOOLS:
            (Path(folder) / name).symlink_to(shutil.which(name))
        for name, text in scripts.items():  # ./name stands in the current folder
            path = Path.cwd() / name if "/" in name else Path(folder) / name
            path.write_text(f"#!/bin/bash\n{text}\n")
            path.chmod(0o700)
        yield Path(folder)


def _hand_over(name: str) -> str:
    """A script that hands its words over, and waits until they have been run."""
    words = f'"${{{VARIABLE}-}}" {name} "$@"'
    return f'printf \'%s\\0\' $(($# + 2)) {words} >&"$ASK"; read -r _ <&"$GO"'


def _commands(line: int, block: str, folder: Path) -> Iterator[Command]:
    """What bash starts; it goes on as soon as the next one is asked for."""
    (asked, ask), (wait, go) = os.pipe(), os.pipe()
    own = {"PATH": str(folder), "HOME": str(Path.cwd()), "ASK": str(ask), "GO": str(wait)}
    with tempfile.TemporaryFile("w+") as said, open(asked, "rb") as requests:
        shell = subprocess.Popen(
            ["bash", "-c", f"{NOTHING_TO_ACTIVATE}\n{block}"],
            env=own,
            pass_fds=(ask, wait),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
        try:
            os.close(ask)
            os.close(wait)
            while words := _request(requests):
                cluster, *words = words
                yield Command(line, tuple(words), cluster)
                os.write(go, b"\n")
        finally:
            os.close(go)
            shell.wait()
        said.seek(0)
        assert not (text := said.read()), f"bash on the block of line {line}: {text}"


def _request(requests: BinaryIO) -> list[str]:
    """The words of the next command; none when bash has come to its end."""

    def word() -> str:
        letters = b""
        while (letter := requests.read(1)) not in (b"", b"\0"):
            letters += letter
        return letters.decode()

    return [word() for _ in range(int(word() or 0))]


def _beginning(command: Command, plan: Plan, place: str) -> str:
    text = command.text
    found = [b for b in plan if text.startswith(b) and text[len(b) : len(b) + 1] in ("", " ", "/")]
    assert found, f"{place}: no sizes for it"
    return max(found, key=len)


def _with_sizes(words: tuple[str, ...], sizes: Sizes) -> list[str]:
    if "--resume" in words:
        return list(words)
    if "--pretrained" in words:
        sizes = {name: value for name, value in sizes.items() if name in OF_EVALUATION}
    return [*words, *flags(**sizes)]


def run_words(words: Sequence[str]) -> Outcome:
    """Run a command of ours in this process and the current folder."""
    program, *arguments = words
    if program == "reptile":
        return call(*arguments, command=reptile)
    assert program == "python", f"unknown program {program}"
    path = ROOT / arguments[0]
    with patch.object(sys, "path", [str(path.parent), *sys.path]):  # as Python does
        return call(*arguments[1:], command=script(path).main)


def understand(command: Command) -> Outcome:
    """Have the program read its words and do nothing; other people's programs are left alone."""
    read_rank({VARIABLE: command.cluster})
    program, *arguments = command.words
    if program == "make":
        done = subprocess.run(
            ["make", "--dry-run", *arguments], cwd=ROOT, capture_output=True, text=True
        )
        return Outcome(done.returncode, done.stdout, done.stderr)
    if program not in ("python", "reptile"):
        return Outcome(0, "", "")
    with patch.object(click.Command, "invoke", _only_read):
        return run_words(command.words)


def _only_read(command: click.Command, context: click.Context) -> None:
    """What is done instead of a command."""
    if isinstance(command, RunCommand):
        interpret(context)
