"""Running the programs as people do, and looking at what they leave behind."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import importlib.util
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import click
import numpy as np
import pytest

from supervised_reptile.cli.main import run
from supervised_reptile.data.glyphs.draw_alphabets import GlyphSet, write_glyphs
from supervised_reptile.system.start_tensorflow import start_tensorflow

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "run_omniglot.py"
PATIENCE = 240  # seconds until a program that hangs is ended

# 60 characters: 44 to train on, 16 to test on
DRAWN = GlyphSet(seed=5, alphabets=4, characters=15, drawings=20)


class Outcome(NamedTuple):
    """How a program ended."""

    code: int  # minus the signal's number if a signal killed it
    out: str
    err: str
    seconds: float = 0.0  # from its start to its end, where it was a process of its own

    @property
    def looks(self) -> list[str]:
        """The `batch I: ...` lines."""
        return [line for line in self.out.splitlines() if line.startswith("batch")]

    @property
    def accuracies(self) -> list[str]:
        """The lines with the accuracies at the end."""
        return [line for line in self.out.splitlines() if " accuracy" in line]


def flags(**values: object) -> list[str]:
    """Command-line flags of keyword arguments: meta_iters=3, sgd=True -> --meta-iters 3 --sgd."""
    words = []
    for name, value in values.items():
        words.append("--" + name.replace("_", "-"))
        if value is not True:
            words.append(str(value))
    return words


# Two parallel tasks of a few images: enough to go through everything, and quick.
TINY = flags(
    classes=3,
    shots=1,
    train_shots=5,
    inner_batch=5,
    inner_iters=2,
    meta_batch=2,
    meta_iters=60,
    eval_samples=20,
    eval_iters=3,
    eval_interval=5,
    transductive=True,
)


# Long enough to be interrupted on the way, and without a checkpoint before the end.
EXACT = [*TINY, *flags(shots=5, meta_iters=400)]


@functools.cache
def script(path: Path = SCRIPT) -> ModuleType:
    """A program of the repository as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Cue(NamedTuple):
    """When something happens: as soon as `count` lines that start with `start` came out."""

    start: str
    count: int
    action: int | Callable[[], object]  # a signal, or what is done in this process


def call(
    *arguments: object, command: click.Command | None = None, cue: Cue | None = None
) -> Outcome:
    """`run_omniglot.py` (or another command) in this process, which saves importing TensorFlow.

    An exception that would show people a traceback comes through, and fails the test.
    """
    out, err, code = _Pipe(cue), _Pipe(errors="backslashreplace"), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            run(command or script().main, [str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
    return Outcome(code, out.written(), err.written())


class _Pipe(io.TextIOWrapper):
    """What Python makes of a pipe, which cannot take every text. Does what its cue says."""

    def __init__(self, cue: Cue | None = None, errors: str = "strict") -> None:
        super().__init__(io.BytesIO(), encoding="utf8", errors=errors, write_through=True)
        self._cue = cue

    def write(self, text: str) -> int:
        length = super().write(text)
        if self._cue and "\n" in text:
            lines = self.written().split("\n")[:-1]
            if sum(line.startswith(self._cue.start) for line in lines) >= self._cue.count:
                action, self._cue = self._cue.action, None
                action() if callable(action) else signal.raise_signal(action)
        return length

    def written(self) -> str:
        return self.buffer.getvalue().decode("utf8")


def execute(
    *arguments: object,
    cue: Cue | None = None,
    program: Sequence[str] = (str(SCRIPT),),
) -> Outcome:
    """`run_omniglot.py` in a process of its own, stopped by a signal if there is a `cue`.

    program: what Python is to run instead of it.
    """
    lines, seen, began = [], 0, time.monotonic()
    with started(*arguments, program=program) as process:
        for line in process.stdout:
            lines.append(line)
            if cue and line.startswith(cue.start):
                seen += 1
                if seen == cue.count:
                    process.send_signal(cue.action)
        code, errors = finish(process)
    return Outcome(code, "".join(lines), errors, time.monotonic() - began)


@contextlib.contextmanager
def started(
    *arguments: object,
    program: Sequence[str] = (str(SCRIPT),),
    **otherwise: Any,
) -> Iterator[subprocess.Popen]:
    """A running `run_omniglot.py` with its output to be read; ended with the block at the latest.

    program: what Python is to run instead of it.
    otherwise: for subprocess.Popen.

    Messages to standard error are collected meanwhile; `finish` returns them.
    """
    words = [sys.executable, *program, *map(str, arguments)]
    # What TensorFlow in this process was told to be silent about is not what people's shells hold.
    own = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(words, **{**pipes, "text": True, "env": own, **otherwise})
    process.messages, errors = [], process.stderr or ()  # none where they are among the output
    process.collector = threading.Thread(target=lambda: process.messages.extend(errors))
    process.collector.start()
    watchdog = threading.Timer(PATIENCE, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        process.collector.join()
        for pipe in filter(None, (process.stdout, process.stderr)):
            pipe.close()


def finish(process: subprocess.Popen) -> tuple[int, str]:
    """Wait for a `started` process: its exit code and what it wrote to standard error."""
    code = process.wait()
    process.collector.join()
    return code, "".join(process.messages)


def assert_refused(outcome: Outcome, *words: str, code: int = 1) -> None:
    """Check that a program declined in one line that contains all `words`.

    Code 1 is a failure; 2 is wrong usage, before which click shows how to call the program.
    """
    assert outcome.code == code, outcome
    assert "Traceback" not in outcome.err
    *before, message = outcome.err.strip().splitlines()
    assert message.startswith("Error: "), outcome.err
    assert not before if code == 1 else before[0].startswith("Usage: "), outcome.err
    for word in words:
        assert word in message


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder `name` that `make` makes, once for all processes of a test session."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    done = shared / f"{name} is made"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            make(shared / name)
            done.touch()
    return shared / name


def drawn_alphabets(factory: pytest.TempPathFactory) -> Path:
    """The folder of DRAWN."""
    folder = made_once(factory, "drawn", lambda at: write_glyphs(at / "alphabets", DRAWN, 1))
    return folder / "alphabets"


def importable(alphabets: Path, folder: Path) -> Path:
    """Drawn characters as classes in train/, val/ and test/: for `reptile data import`."""
    for number, character in enumerate(sorted(alphabets.glob("*/*"))):
        split = ("train", "val", "test")[number % 3]
        shutil.copytree(character, folder / split / f"{character.parent.name} {character.name}")
    return folder


def reference(factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """The run directory of EXACT on the drawn alphabets, never interrupted, and its output.

    Tests copy the directory to change it.
    """

    def make(folder: Path) -> None:
        folder.mkdir()
        place = flags(data_dir=drawn_alphabets(factory), checkpoint=folder / "run")
        (folder / "outcome.json").write_text(json.dumps(execute(*EXACT, *place)))

    folder = made_once(factory, "reference", make)
    return folder / "run", Outcome(*json.loads((folder / "outcome.json").read_text()))


def real_omniglot() -> Path:
    """The folder with Omniglot's two archives; skips the test where they are not at hand."""
    if not (data := os.environ.get("REPTILE_DATA")):
        pytest.skip("REPTILE_DATA does not name a folder with omniglot/ in it")
    return Path(data) / "omniglot"


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A file system of its own in a new folder; skips the test where that is not permitted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here; that takes root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A folder in which nothing can be written; skips the test where that is not permitted."""
    mount, place = shutil.which("mount"), str(folder)
    if (
        mount is None
        or subprocess.run([mount, "--bind", place, place], capture_output=True).returncode
    ):
        pytest.skip("a folder cannot be mounted read-only here; that takes root")
    try:
        subprocess.run([mount, "-o", "remount,bind,ro", place], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def fill(disk: Path) -> None:
    """Leave no room for another byte on a `small_disk`."""
    with (disk / "other").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def edit_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a JSON file as people do by hand."""
    content = json.loads(path.read_text(encoding="utf8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf8")


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Until the condition holds; `what` is said if it never does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        time.sleep(0.005)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` but the lock, which says nothing: relative path -> content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def saved_steps(run: Path) -> list[int]:
    """Outer steps of the checkpoints in a run directory, ascending."""
    return sorted(int(path.stem.split("-")[1]) for path in run.glob("checkpoints/*.index"))


STATE = ("weights", "second_moment", "time", "step", "metrics_bytes")


def saved_state(
    run: Path, step: int | None = None, names: tuple[str, ...] = STATE
) -> dict[str, np.ndarray]:
    """Weights, Adam's state and counters in the newest checkpoint of `run`, or that of `step`."""
    start_tensorflow()  # as the programs do, which run here afterwards
    import tensorflow as tf

    step = saved_steps(run)[-1] if step is None else step
    reader = tf.train.load_checkpoint(str(run / "checkpoints" / f"ckpt-{step}"))
    return {name: reader.get_tensor(f"{name}/.ATTRIBUTES/VARIABLE_VALUE") for name in names}


def assert_same_state(one: Path, other: Path) -> None:
    """The newest checkpoints of two runs agree to the last bit."""
    first, second = saved_state(one), saved_state(other)
    for name in first:
        assert np.array_equal(first[name], second[name]), name


def assert_same_end(run: Path, last: Outcome, wanted: Path, whole: Outcome) -> None:
    """Two runs ended in the same weights, Adam state, metrics and results."""
    assert last.code == whole.code == 0, last.err
    assert_same_state(run, wanted)
    assert (run / "metrics.jsonl").read_bytes() == (wanted / "metrics.jsonl").read_bytes()
    assert last.accuracies == whole.accuracies
    assert judged(run) == judged(wanted)


def judged(run: Path) -> object:
    evaluations = json.loads((run / "results.json").read_text())["evaluations"]
    return [{name: e[name] for name in e if name != "training_seconds"} for e in evaluations]
