"""Killed again and again at random moments, programs continue and end as if nothing had been.

A few kills here, and many with `make soak`.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from command_line import (
    EXACT,
    TINY,
    Outcome,
    assert_same_end,
    assert_same_state,
    drawn_alphabets,
    execute,
    flags,
    importable,
    reference,
    saved_steps,
    tree,
)
from interruptions import half_saved, interrupted, is_whole, random_kills

REPTILE = ("-m", "supervised_reptile")

# ---- training

# A few times as long as it takes to start.
LONG = [*TINY, *flags(shots=5, meta_iters=2000, eval_interval=20, eval_samples=200)]
PARTS, KILLS, IN_SAVES = 10, 5, 2  # of the long form: 50 kills, 20 of them in a save

Whole = tuple[list[str], Path, Outcome]  # command line, run directory and output, uninterrupted


@pytest.fixture(scope="module")
def long_run(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """On Omniglot where it is at hand, else on drawn alphabets."""
    shared = os.environ.get("REPTILE_DATA")
    data = Path(shared) / "omniglot" if shared else drawn_alphabets(tmp_path_factory)
    words = [*LONG, *flags(data_dir=data, save_interval=50)]
    run = tmp_path_factory.mktemp("long") / "run"
    return words, run, execute(*words, *flags(checkpoint=run))


def continuing(words: Sequence[str], run: Path) -> list[str]:
    """The command line that starts the run in `run`, or continues it."""
    resume = ["--resume"] * (run / "config.json").exists()
    return [*words, *flags(checkpoint=run), *resume]


def kill_and_compare(name: str, whole: Whole, folder: Path, count: int, in_saves: int) -> None:
    """Kill a run `count` times, beginning anew where it has come to its end; compare every end."""
    words, wanted, outcome = whole
    assert outcome.code == 0, outcome.err
    number = 0
    for kill in random_kills(name, outcome.seconds, count, in_saves):
        while True:
            run = folder / f"{number}"
            last = interrupted(continuing(words, run), kill, partial(half_saved, run))
            if last.code:
                break
            assert_nothing_shows(run, last, wanted, outcome)
            number += 1
    last = execute(*continuing(words, run))
    assert_nothing_shows(run, last, wanted, outcome)


def assert_nothing_shows(run: Path, last: Outcome, wanted: Path, whole: Outcome) -> None:
    """The run ended in the same bytes as `wanted`, and no half-written files lie about."""
    assert_same_end(run, last, wanted, whole)
    assert len(saved_steps(run)) <= 3
    names = set(os.listdir(run / "checkpoints"))
    assert all(is_whole(name, names) for name in names), names
    assert own_files(run) == own_files(wanted)


def own_files(run: Path) -> set[str]:
    """Names of a run's files; those of checkpoints and for TensorBoard tell steps and times."""
    return {name for name in tree(run) if not name.startswith(("checkpoints/", "tensorboard/"))}


def test_training_killed_anywhere(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    words = [*EXACT, *flags(data_dir=drawn_alphabets(tmp_path_factory), save_interval=20)]
    run, outcome = reference(tmp_path_factory)
    kill_and_compare("short", (words, run, outcome), tmp_path, count=3, in_saves=2)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
def test_training_killed_fifty_times(part: int, long_run: Whole, tmp_path: Path) -> None:
    kill_and_compare(f"part {part}", long_run, tmp_path, KILLS, IN_SAVES)


@pytest.mark.soak
def test_two_starts_at_once(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    """Whichever comes second is refused; the first is none the worse for it."""
    from concurrent.futures import ThreadPoolExecutor

    wanted, whole = reference(tmp_path_factory)
    run = tmp_path / "run"
    words = [*EXACT, *flags(data_dir=drawn_alphabets(tmp_path_factory), checkpoint=run)]
    with ThreadPoolExecutor(2) as pool:
        first, second = sorted(pool.map(lambda _: execute(*words), range(2)), key=lambda o: o.code)
    assert_same_end(run, first, wanted, whole)
    assert second.code == 1
    (message,) = second.err.strip().splitlines()
    assert message.startswith(f"Error: {run}")
    assert "another process" in message or "holds a run already" in message


# ---- the studies

STUDIES = {
    "omniglot-5way": flags(fraction=0.01, eval_samples=50),
    "theory": flags(outer_steps=300),  # training is a process of its own
}


def reproduce(study: str, data: Path, out: Path) -> list[str]:
    return [study, *flags(data_dir=data, out=out), *STUDIES[study]]


def in_half(out: Path) -> set[str]:
    """What is half saved of any run of a study."""
    runs = [path.parent for path in out.rglob("checkpoints")]
    return {f"{run}/{name}" for run in runs for name in half_saved(run)}


@pytest.mark.soak
@pytest.mark.parametrize("study", STUDIES)
def test_a_study_killed_anywhere(study: str, data: Path, tmp_path: Path) -> None:
    """The same command continues, at once: what was killed may have a process that still saves."""
    program = (*REPTILE, "reproduce")
    whole = execute(*reproduce(study, data, tmp_path / "whole"), program=program)
    assert whole.code == 0, whole.err
    out = tmp_path / "out"
    words = reproduce(study, data, out)
    for kill in random_kills(study, whole.seconds, count=6, in_saves=2):
        last = interrupted(words, kill, partial(in_half, out), program=program)
        if last.code == 0:
            assert_same_study(out, tmp_path / "whole")
            shutil.rmtree(out)
    last = execute(*words, program=program)
    assert last.code == 0, last.err
    assert_same_study(out, tmp_path / "whole")


def assert_same_study(out: Path, wanted: Path) -> None:
    """Two studies came to the same tables by the same training."""
    tables = [json.loads((folder / "study.json").read_text())["tables"] for folder in (out, wanted)]
    assert tables[0] == tables[1]
    runs = [path.relative_to(wanted) for path in wanted.rglob("metrics.jsonl")]
    assert runs
    for metrics in runs:
        assert (out / metrics).read_bytes() == (wanted / metrics).read_bytes()
        assert_same_state((out / metrics).parent, (wanted / metrics).parent)


# ---- a sweep

SPACE = """
[search]
method = "grid"
[space]
meta-iters = [200, 400]
[fixed]
classes = 3
shots = 1
inner-iters = 2
eval-iters = 3
eval-samples = 20
save-interval = 20
val-classes = 10
"""


def standings(out: Path) -> list[dict[str, str]]:
    """A sweep's leaderboard without what differs from sitting to sitting."""
    with (out / "leaderboard.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    return [
        {k: v for k, v in line.items() if k not in ("training_seconds", "run")} for line in lines
    ]


@pytest.mark.soak
def test_a_sweep_killed_anywhere(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while Ray starts, and between the trials; with --resume it comes to the same board."""
    for package in ("ray", "optuna"):
        pytest.importorskip(package, reason="the extra [sweep] is not installed")
    from supervised_reptile.sweep.command import OWN_RAY

    space, out = tmp_path / "space.toml", tmp_path / "out"
    space.write_text(SPACE)
    how = {"program": (*REPTILE, "sweep")}
    for name, value in OWN_RAY.items():
        monkeypatch.setenv(name, value)

    def words(folder: Path) -> list[str]:
        resume = ["--resume"] * (folder / "sweep.json").exists()
        return [str(space), *flags(data_dir=data, out=folder, jobs=1), *resume]

    whole = execute(*words(tmp_path / "whole"), **how)
    assert whole.code == 0, whole.err
    for kill in random_kills("sweep", whole.seconds, count=6, in_saves=2):
        last = interrupted(words(out), kill, partial(in_half, out), **how)
        if last.code == 0:
            assert standings(out) == standings(tmp_path / "whole")
            shutil.rmtree(out)
    last = execute(*words(out), **how)
    assert last.code == 0, last.err
    assert standings(out) == standings(tmp_path / "whole")
    for number in ("000", "001"):
        trials = [folder / "trials" / number for folder in (out, tmp_path / "whole")]
        assert_same_state(*trials)
        assert len({(trial / "metrics.jsonl").read_bytes() for trial in trials}) == 1


# ---- data


def unfinished_stores(folder: Path) -> set[str]:
    """What imports into `folder` have not finished."""
    return {name for name in os.listdir(folder) if name.startswith(".")}


@pytest.mark.parametrize("count", [3, pytest.param(30, marks=pytest.mark.soak)])
def test_an_import_killed_anywhere(count: int, data: Path, tmp_path: Path) -> None:
    """Whole or not at all."""
    folders = {name: tmp_path / name for name in ("whole", "killed")}
    source, program = importable(data, tmp_path / "source"), (*REPTILE, "data", "import")

    def words(folder: Path) -> list[str]:
        folder.mkdir(exist_ok=True)
        return [str(source), *flags(out=folder / "store")]

    whole = execute(*words(folders["whole"]), program=program)
    assert whole.code == 0, whole.err
    killed = folders["killed"]
    for kill in random_kills(f"import {count}", whole.seconds, count, in_saves=count // 2 + 1):
        half_written = partial(unfinished_stores, killed)
        interrupted(words(killed), kill, half_written, program=program)
        if (killed / "store").exists():
            assert tree(killed / "store") == tree(folders["whole"] / "store")
    last = execute(*words(killed), program=program)
    assert last.code == 0, last.err
    assert tree(killed / "store") == tree(folders["whole"] / "store")
