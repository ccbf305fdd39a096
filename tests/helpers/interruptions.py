"""Ending programs at moments that nobody chose, and in the middle of a save."""

from __future__ import annotations

import os
import random
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from command_line import Cue, Outcome, finish, started

STOPPED = Cue("batch", 10, signal.SIGINT)  # after outer step 45 of a run of TINY size
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# What a program says at its end: it is gone at once, or saves first where there is something to.
CODES = {
    signal.SIGKILL: (-signal.SIGKILL,),
    signal.SIGTERM: (-signal.SIGTERM, 128 + signal.SIGTERM),
    # Python no longer listens when it has done everything and is about to end.
    signal.SIGINT: (128 + signal.SIGINT, -signal.SIGINT),
}
EARLIEST = 1.0  # seconds; before that it is Python that starts
GLANCE = 0.0005  # seconds from look to look at the files of a save, which takes some hundredths

SEED = int(os.environ.get("REPTILE_SOAK_SEED") or secrets.randbelow(1_000_000))

Listing = Callable[[], set[str]]  # names of what is half written now


class Kill(NamedTuple):
    """A signal, and when it is sent."""

    signal: int
    delay: float | None  # seconds after the start; None: while something is half written


def random_kills(
    name: str, longest: float, count: int, in_saves: int = 0, earliest: float = EARLIEST
) -> Iterator[Kill]:
    """`count` of them, `in_saves` of which while something is half written; signals take turns.

    Delays are from `earliest` to `longest`, in seconds.

    Prints what draws the same again; pytest shows it if the test fails.
    """
    print(f"{name}: REPTILE_SOAK_SEED={SEED} kills at the same moments")
    chance = random.Random(f"{SEED} {name}")
    saving = set(chance.sample(range(count), in_saves))
    for number in range(count):
        delay = None if number in saving else chance.uniform(earliest, longest)
        yield Kill(SIGNALS[number % len(SIGNALS)], delay)


def interrupted(words: list[str], kill: Kill, half_written: Listing, **how: object) -> Outcome:
    """A program that got the signal of `kill`, unless it ended before (code 0).

    how: for `started`.
    """
    with started(*words, **how) as process:
        if kill.delay is None:
            strike_while(process, kill.signal, half_written)
        else:
            strike_after(process, kill.signal, kill.delay)
        out = process.stdout.read()
        code, err = finish(process)
    outcome = Outcome(code, out, err)
    assert outcome.code in (0, *CODES[kill.signal]), (kill, outcome)
    assert "Traceback" not in outcome.err, (kill, outcome)
    return outcome


def strike_after(process: subprocess.Popen, number: int, delay: float) -> None:
    """Send the signal so many seconds from now."""
    try:
        process.wait(delay)
    except subprocess.TimeoutExpired:
        process.send_signal(number)


def strike_while(process: subprocess.Popen, number: int, half_written: Listing) -> None:
    """Send the signal while there is more half written than now.

    The process is halted for a second look: it may have finished after the first.
    """
    before = half_written()
    while process.poll() is None:
        if half_written() - before:
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            struck = bool(half_written() - before)
            if struck:
                process.send_signal(number)
            process.send_signal(signal.SIGCONT)
            if struck:
                return
        time.sleep(GLANCE)


def half_saved(run: Path) -> set[str]:
    """What there is of checkpoints that are being saved."""
    folder = run / "checkpoints"
    try:
        names = set(os.listdir(folder))
    except FileNotFoundError:
        return set()
    return {name for name in names if not is_whole(name, names)}


def is_whole(name: str, names: set[str]) -> bool:
    """Whether a file of a folder of checkpoints is TensorFlow's list, or part of a whole one."""
    return name == "checkpoint" or (
        f"{name.partition('.')[0]}.index" in names and ".tmp" not in name
    )
