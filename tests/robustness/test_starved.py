"""Where disk, permission or data are missing: one line, and what was saved is kept."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import click
import numpy as np
import pytest
from command_line import (
    EXACT,
    TINY,
    Cue,
    Outcome,
    assert_refused,
    assert_same_end,
    call,
    fill,
    finish,
    flags,
    importable,
    reference,
    saved_state,
    saved_steps,
    small_disk,
    started,
    tree,
)

from supervised_reptile.cli.main import reptile

REPTILE = ("-m", "supervised_reptile")
FULL = Path("/dev/full")

needs_dev_full = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Room for a few checkpoints."""
    with small_disk(tmp_path / "disk", kilobytes=8000) as folder:
        yield folder


def reptile_call(*words: object) -> Outcome:
    return call(*words, command=reptile)


# ---- training runs out of disk


def test_a_disk_that_fills_up(data: Path, disk: Path, tmp_path_factory) -> None:
    """The last checkpoint is good, and the continuation ends as if nothing had been."""
    run = disk / "run"
    words = [*EXACT, *flags(data_dir=data, checkpoint=run, save_interval=20)]
    outcome = call(*words, cue=Cue("batch", 12, lambda: fill(disk)))
    assert "No space left on device: free some space" in outcome.err
    assert_refused(outcome, f"{run}: cannot write there", f"--checkpoint {run} --resume")
    (disk / "other").unlink()
    step = saved_steps(run)[-1]
    assert 0 < step < 400
    assert np.isfinite(saved_state(run, step)["weights"]).all()
    last = call(*words, "--resume")
    assert int(last.looks[0].split()[1].rstrip(":")) <= step
    assert_same_end(run, last, *reference(tmp_path_factory))


def test_a_disk_too_small_for_three_checkpoints(data: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kilobytes=2500) as disk:
        words = [*TINY, *flags(data_dir=data, checkpoint=disk / "run", save_interval=10)]
        outcome = call(*words)
        assert_refused(outcome, str(disk / "run"), "No space left", "--resume")
        assert saved_steps(disk / "run")[:2] == [10, 20]
        subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
        outcome = call(*words, "--resume")
        assert outcome.code == 0, outcome.err
        assert int(outcome.looks[0].split()[1].rstrip(":")) >= 20
        assert saved_steps(disk / "run")[-1] == 60


def test_a_full_disk_for_waves(tmp_path: Path) -> None:
    """`reptile sine` and its pictures."""
    short = flags(meta_iters=2100, save_interval=250, eval_samples=30, no_compare=True)
    whole = reptile_call("sine", *short, *flags(out=tmp_path / "whole"))
    assert whole.code == 0, whole.err
    with small_disk(tmp_path / "disk", kilobytes=300) as disk:
        words = ["sine", *short, *flags(out=disk / "run")]
        assert_refused(reptile_call(*words), str(disk / "run"), "No space left")
        subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
        outcome = reptile_call(*words, "--resume")
        assert_same_end(disk / "run", outcome, tmp_path / "whole", whole)


@needs_dev_full
def test_a_figure_takes_the_place_of_what_cannot_be_written(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "learning_curve.png").symlink_to(FULL)
    outcome = call(*TINY, *flags(data_dir=data, checkpoint=run, meta_iters=1, eval_samples=1))
    assert outcome.code == 0, outcome.err
    assert saved_steps(run) == [1]
    assert not (run / "learning_curve.png").is_symlink()
    assert (run / "learning_curve.png").read_bytes().startswith(b"\x89PNG")


@needs_dev_full
def test_a_full_disk_for_what_is_printed(data: Path, tmp_path: Path) -> None:
    words = [*TINY, *flags(data_dir=data, checkpoint=tmp_path / "run")]
    with FULL.open("w") as full, started(*words, stdout=full) as process:
        outcome = Outcome(finish(process)[0], "", "".join(process.messages))
    assert_refused(outcome, "standard output", "No space left")


@needs_dev_full
def test_a_full_disk_for_what_a_report_prints(finished: Path, tmp_path: Path) -> None:
    words = ["report", finished, "--out", tmp_path / "report"]
    with FULL.open("w") as full, started(*words, program=REPTILE, stdout=full) as process:
        outcome = Outcome(finish(process)[0], "", "".join(process.messages))
    assert_refused(outcome, "standard output: cannot write there")


# ---- memory runs out


def huge_array() -> None:
    np.ones((10**8, 10**8))


def huge_tensor() -> None:
    import tensorflow as tf

    tf.ones((10**8, 10**8))


@pytest.mark.parametrize("allocate", [huge_array, huge_tensor])
def test_more_than_memory_holds(allocate: Callable[[], None]) -> None:
    outcome = call(command=click.Command("allocate", callback=allocate))
    assert_refused(outcome, "not enough memory", "--meta-batch", "--resume")


# ---- places that cannot be written


def test_no_folder_for_temporary_files(data: Path, tmp_path: Path) -> None:
    """As in a container that is read-only; a TMPDIR that is missing alone does no harm."""
    words = [*TINY, *flags(data_dir=data, checkpoint=tmp_path / "run")]
    no_files = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (0, 0))
    assert_refused(completed(*words, preexec_fn=no_files), "TMPDIR")
    elsewhere = {**os.environ, "TMPDIR": str(tmp_path / "missing")}
    short = flags(threads=1, meta_iters=1, eval_samples=1)
    assert completed(*words, *short, env=elsewhere).code == 0


def completed(*words: object, **how: object) -> Outcome:
    """What a program of its own says, until its end."""
    with started(*words, **how) as process:
        out = process.stdout.read()
        code, errors = finish(process)
    return Outcome(code, out, errors)


def test_a_read_only_disk(data: Path, finished: Path, disk: Path) -> None:
    run = shutil.copytree(finished, disk / "run")
    before = tree(run)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    place = flags(data_dir=data)
    for words in (
        [*TINY, *place, *flags(checkpoint=disk / "new")],
        [*place, *flags(checkpoint=run, resume=True)],
    ):
        assert_refused(call(*words), str(disk), "Read-only file system", "name a place")
    evaluated = call(*place, *flags(checkpoint=run, pretrained=True))
    assert len(evaluated.accuracies) == 2
    assert evaluated.err == f"Note: {run} cannot be written, so nothing is stored there\n"
    assert tree(run) == before


def obey_modes() -> None:
    """In a child, before it starts: root, too, may write only where the modes allow it."""
    drop_from_bounding_set, override = 24, 1
    ctypes.CDLL(None).prctl(drop_from_bounding_set, override, 0, 0, 0)


@pytest.fixture
def forbidden(tmp_path: Path) -> Iterator[Path]:
    """A folder in which nothing may be made."""
    if sys.platform != "linux" and os.geteuid() == 0:
        pytest.skip("root may write anywhere here")
    folder = tmp_path / "forbidden"
    folder.mkdir(mode=0o555)
    yield folder
    folder.chmod(0o755)


def obedient(*words: object, **environment: str) -> Outcome:
    """`reptile` as somebody who is no superuser."""
    variables = {**os.environ, **environment}
    obey = obey_modes if sys.platform == "linux" else None
    return completed(*words, program=REPTILE, preexec_fn=obey, env=variables)


def test_no_permission_for_the_run(data: Path, forbidden: Path) -> None:
    words = ["omniglot", *TINY, *flags(data_dir=data, checkpoint=forbidden / "run")]
    outcome = obedient(*words)
    assert_refused(outcome, str(forbidden / "run"), "Permission denied", "may write")
    assert not outcome.out


def test_no_permission_for_decoded_images(data: Path, forbidden: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    words = ["data", "info", data, *flags(out=out)]
    outcome = obedient(*words, REPTILE_CACHE=str(forbidden))
    assert_refused(outcome, str(forbidden), "Permission denied", "REPTILE_CACHE")
    assert not out.exists()


# ---- data that go away


def test_training_outlives_its_data(
    data: Path, tmp_path: Path, tmp_path_factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images are in memory, or in files that are open; who comes later is told what is missing."""
    copy, run = shutil.copytree(data, tmp_path / "data"), tmp_path / "run"
    cache = tmp_path / "cache"
    words = [*EXACT, *flags(data_dir=copy, checkpoint=run)]

    def remove() -> None:
        shutil.rmtree(copy)
        shutil.rmtree(cache)

    monkeypatch.setenv("REPTILE_CACHE", str(cache))
    outcome = call(*words, cue=Cue("batch", 5, remove))
    assert_same_end(run, outcome, *reference(tmp_path_factory))
    before = tree(run)
    for how in ("--resume", "--pretrained"):
        refused = call(*flags(data_dir=copy, checkpoint=run), how)
        assert_refused(refused, f"{copy}: no such folder")
    assert tree(run) == before


# ---- what only writes


def write_export(run: Path, out: Path) -> list[object]:
    return ["export", *flags(checkpoint=run, format="npz", out=out / "export")]


def write_savedmodel(run: Path, out: Path) -> list[object]:
    return ["export", *flags(checkpoint=run, format="savedmodel", out=out / "export")]


def write_report(run: Path, out: Path) -> list[object]:
    return ["report", run, *flags(out=out)]


def write_plot(run: Path, out: Path) -> list[object]:
    return ["plot", run, *flags(out=out / "curves.png")]


def write_glyphs(_run: Path, out: Path) -> list[object]:
    return ["data", "glyphs", *flags(out=out / "glyphs", alphabets=1, characters=2)]


def write_theory(_run: Path, out: Path) -> list[object]:
    return ["reproduce", "theory", *flags(out=out)]


WRITERS = (
    write_export,
    write_savedmodel,
    write_report,
    write_plot,
    write_glyphs,
    pytest.param(write_theory, marks=pytest.mark.soak),
)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_for_results(writer: Callable, finished: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kilobytes=100) as disk:
        fill(disk)
        assert_refused(reptile_call(*writer(finished, disk)), str(disk), "No space left")
        assert {path.name for path in disk.rglob("*") if path.is_file()} == {"other"}


def test_a_full_disk_for_an_import(data: Path, tmp_path: Path) -> None:
    """Which maps its file into memory: writing to a map without room behind it kills."""
    source = importable(data, tmp_path / "source")
    with small_disk(tmp_path / "disk", kilobytes=2000) as disk:
        words = ["data", "import", source, *flags(out=disk / "store")]
        with started(*words, program=REPTILE) as process:
            assert not process.stdout.read()
            code, errors = finish(process)
        assert_refused(Outcome(code, "", errors), str(disk / "store"), "No space left")
        assert not list(disk.iterdir())


@needs_dev_full
def test_a_full_disk_for_a_table(finished: Path) -> None:
    words = ["compare", finished, "--csv"]
    with FULL.open("w") as full, started(*words, program=REPTILE, stdout=full) as process:
        code, errors = finish(process)
    assert_refused(Outcome(code, "", errors), "standard output", "No space left")
