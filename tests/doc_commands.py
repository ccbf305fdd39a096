"""The commands in documentation, run as readers would paste them, at the sizes of a test.

    done = run_commands(ROOT / "docs" / "tutorial.md", {"reptile sine": flags(meta_iters=100)})

runs every command of the page's ```bash blocks in the current folder, in order. Every command has
to be known by how it begins, so that none is added to a page without a thought of how to test it.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from command_line import PATIENCE, ROOT, Outcome, call, script

from supervised_reptile.cli import reptile

FENCE = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Commands that continue or only evaluate a run take its sizes from there.
TAKES_SIZES_FROM_THE_RUN = {"--resume", "--pretrained"}
SHELL = set("|&;<>$`(){}")  # what only a shell understands


class Command(NamedTuple):
    """One command of a page."""

    line: int  # of the page, where it begins
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        """The command in one line."""
        return shlex.join(self.words)


def commands_of(page: Path) -> list[Command]:
    """The commands in a page's bash blocks; comments are left out, continued lines joined."""
    text = page.read_text(encoding="utf8")
    found = []
    for block in FENCE.finditer(text):
        line = text.count("\n", 0, block.start(1)) + 1
        for part in re.split(r"(?<!\\)\n", block[1]):
            if words := shlex.split(part.replace("\\\n", " "), comments=True):
                found.append(Command(line, tuple(words)))
            line += part.count("\n") + 1
    return found


def run_commands(
    page: Path, sizes: Mapping[str, Sequence[str] | None]
) -> list[tuple[Command, Outcome]]:
    """Run the page's commands in order, each of which must succeed.

    Args:
      sizes: how commands begin -> flags to add, so that they take a moment (the last of two equal
        flags counts), or None for those that are not to be run here. The longest beginning counts.
    """
    done = []
    for command in commands_of(page):
        place = f"{page.name}, line {command.line}: {command.text}"
        beginnings = [b for b in sizes if f"{command.text} ".startswith(f"{b} ")]
        assert beginnings, f"{place}: no sizes for it"
        more = sizes[max(beginnings, key=len)]
        if more is None:
            continue
        outcome = run_words(_with_sizes(command.words, more))
        assert outcome.code == 0, f"{place}\n{outcome.err}"
        done.append((command, outcome))
    return done


def _with_sizes(words: Sequence[str], more: Sequence[str]) -> list[str]:
    if TAKES_SIZES_FROM_THE_RUN.intersection(words):
        return list(words)
    return [*words, *more]


def run_words(words: Sequence[str]) -> Outcome:
    """Run a command of ours in the current folder, in this process where it can be."""
    assert not SHELL.intersection("".join(words)), f"only a shell can run {shlex.join(words)}"
    program, *arguments = words
    arguments = [w for word in arguments for w in (sorted(glob.glob(word)) or [word])]
    if program == "reptile":
        return call(*arguments, command=reptile)
    assert program == "python", f"unknown program {program}"
    if arguments[0] in ("run_omniglot.py", "run_miniimagenet.py"):
        return call(*arguments[1:], command=script(ROOT / arguments[0]).main)
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(ROOT / arguments[0]), *arguments[1:]],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)
