"""Files that are read back and are torn, emptied, something else or gone.

What reads them ends in one line that names the file, or goes on and warns of it, or gives what it
gives of the whole file.
"""

from __future__ import annotations

import functools
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from command_line import TINY, Outcome, call, flags, saved_state, saved_steps
from PIL import Image
from small_problem import small_snapshot

from supervised_reptile.analysis.study import Figure, Study, write_study
from supervised_reptile.cli.main import reptile
from supervised_reptile.data.glyphs.draw_alphabets import GlyphSet, write_glyphs
from supervised_reptile.data.omniglot import load_omniglot
from supervised_reptile.data.store import StoreIndex, open_store, write_store
from supervised_reptile.inference.export import load_savedmodel, write_export
from supervised_reptile.runs.open_weights import open_snapshot, verify_export
from supervised_reptile.runs.snapshot import fingerprint

# ---- damage


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def replaced(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(5000))


def removed(path: Path) -> None:
    path.unlink()


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


# ---- what is written


def run(folder: Path) -> None:
    """A finished run with three checkpoints, and another one to compare it with."""
    write_glyphs(folder / "data", GlyphSet(seed=7, alphabets=2, characters=8, drawings=6), 1)
    outcome = call(*TINY, *place(folder), "--save-interval", 20)
    assert outcome.code == 0, outcome
    assert saved_steps(folder / "run") == [20, 40, 60]
    shutil.copytree(folder / "run", folder / "other")


def place(folder: Path) -> list[str]:
    return flags(data_dir=folder / "data", checkpoint=folder / "run")


def study(folder: Path) -> None:
    (folder / "results").mkdir()
    Image.new("RGB", (20, 30)).save(folder / "results" / "curves.png")
    figures = (Figure("The curves", "curves.png"),)
    write_study(folder / "results", Study("n", "T", "Found.", (), 4.0, {}, figures=figures))


def store(folder: Path) -> None:
    files = tuple(f"{number}.png" for number in range(10))
    index = StoreIndex(("a", "b"), (5, 5), (12, 12, 3), 255, {"train": [0, 1]}, files=files)
    write_store(folder / "store", index, lambda pixels: pixels.fill(7))


def cache(folder: Path) -> None:
    write_glyphs(folder / "data", GlyphSet(seed=7, alphabets=1, characters=4, drawings=3), 1)
    assert cached(folder).code == 0


def exports(folder: Path) -> None:
    """The same weights in every form."""
    for form in ("npz", "web", "savedmodel"):
        write_export(folder / form, small_snapshot(), form)


# ---- what reads it


def reading(function: Callable[[], Any]) -> Outcome:
    """What `function` returns, as if it were a command that prints it."""
    return call(command=click.Command("read", callback=lambda: click.echo(repr(function()))))


def digest(array: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


def resume(folder: Path) -> Outcome:
    """Ends with the same weights, whichever checkpoint it begins with."""
    outcome = call(*place(folder), "--resume")
    end = "" if outcome.code else digest(saved_state(folder / "run")["weights"])
    return outcome._replace(out=end)


def compare(folder: Path) -> Outcome:
    return call("compare", folder / "run", folder / "other", command=reptile)


def report(folder: Path) -> Outcome:
    return call("report", folder / "results", "--out", folder / "page", command=reptile)


def all_of_store(folder: Path) -> Outcome:
    def read() -> tuple:
        found = open_store(folder / "store")
        return found.names, found.files, digest(found.images)

    return reading(read)


def cached(folder: Path) -> Outcome:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPTILE_CACHE", str(folder / "cache"))
        return reading(lambda: digest(load_omniglot(folder / "data", seed=0).images))


def npz_export(folder: Path) -> Outcome:
    return reading(lambda: fingerprint(open_snapshot(folder / "npz")))


def web_export(folder: Path) -> Outcome:
    return reading(lambda: verify_export(folder / "web")["kind"])


def savedmodel(folder: Path) -> Outcome:
    return reading(lambda: load_savedmodel(folder / "savedmodel").signatures.keys())


CASES: dict[str, tuple[Callable[[Path], None], Callable[[Path], Outcome]]] = {
    "run/config.json": (run, resume),
    "run/classes.json": (run, resume),
    "run/results.json": (run, compare),
    "run/episodes/*.npz": (run, compare),
    "run/checkpoints/checkpoint": (run, resume),
    "run/checkpoints/ckpt-60.index": (run, resume),
    "run/checkpoints/ckpt-60.data-*": (run, resume),
    "results/study.json": (study, report),
    "results/curves.png": (study, report),
    "store/store.json": (store, all_of_store),
    "store/images.npy": (store, all_of_store),
    "store/files.json": (store, all_of_store),
    "cache/*/store.json": (cache, cached),
    "npz/export.json": (exports, npz_export),
    "npz/weights.npz": (exports, npz_export),
    "web/export.json": (exports, web_export),
    "web/weights.bin": (exports, web_export),
    "savedmodel/variables/*.index": (exports, savedmodel),
}
# What may be missing without a word: the store of a data set whose files have no names.
OPTIONAL = {("store/files.json", removed)}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable], Path]:
    """The folder that each of the functions above writes, once."""

    @functools.cache
    def folder_of(write: Callable[[Path], None]) -> Path:
        folder = tmp_path_factory.mktemp(write.__name__)
        write(folder)
        return folder

    return folder_of


@pytest.fixture(scope="module")
def undamaged(written: Callable, tmp_path_factory: pytest.TempPathFactory) -> Callable:
    """What each of the functions above reads of an undamaged folder."""

    @functools.cache
    def outcome_of(write: Callable, read: Callable[[Path], Outcome]) -> Outcome:
        outcome = read(shutil.copytree(written(write), tmp_path_factory.mktemp("whole") / "copy"))
        assert (outcome.code, outcome.err) == (0, "")
        return outcome

    return outcome_of


@pytest.mark.parametrize("damage", [torn, emptied, replaced, removed, a_folder])
@pytest.mark.parametrize("name", CASES)
def test_damaged(
    name: str,
    damage: Callable[[Path], None],
    written: Callable,
    undamaged: Callable,
    tmp_path: Path,
) -> None:
    write, read = CASES[name]
    folder = shutil.copytree(written(write), tmp_path / "copy")
    file = next(folder.glob(name))
    damage(file)
    outcome = read(folder)
    assert "Traceback" not in outcome.err
    said = outcome.err.splitlines()
    if outcome.code:
        assert outcome.code == 1
        assert said[-1].startswith("Error: ")
        said = said[-1:]
    elif outcome.out == undamaged(write, read).out or (name, damage) in OPTIONAL:
        return
    assert any(is_named(file, line) for line in [*said, " ".join(outcome.out.split())])


def is_named(file: Path, message: str) -> bool:
    """By itself, or its folder with what it is in there."""
    return any(word in message for word in (file.name, file.stem, str(file.parent)))
