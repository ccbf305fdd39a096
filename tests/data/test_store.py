"""Folders that appear whole or not at all, and what processes that were killed left of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervised_reptile.data import store
from supervised_reptile.data.store import (
    STORE_FILES,
    StoreIndex,
    appearing_whole,
    cached_store,
    is_store,
    write_store,
)
from supervised_reptile.errors import UserError
from supervised_reptile.locks import LOCK, lock

OLD = 1e9  # seconds since 1970, years ago


def scratch(folder: Path, *files: str, modified: float | None = None) -> Path:
    """What a process that makes `folder`/store has beside it."""
    place = folder / ".store.a1_b2_c3"
    place.mkdir()
    for name in files:
        (place / name).touch()
    if modified:
        os.utime(place, (modified, modified))
    return place


def make(folder: Path) -> None:
    with appearing_whole(folder / "store", lambda _: None) as new:
        (new / "file").touch()
    assert os.listdir(folder / "store") == ["file"]


@pytest.mark.parametrize(
    ("files", "modified"),
    [((), OLD), ((LOCK,), OLD), ((LOCK, "new"), None), ((LOCK, "new", "old"), None)],
)
def test_what_was_given_up_is_removed(tmp_path: Path, files: tuple, modified: float) -> None:
    left = scratch(tmp_path, *files, modified=modified)
    make(tmp_path)
    assert not left.exists()


@pytest.mark.parametrize(
    ("files", "modified"),
    [
        ((), None),  # made a moment ago, about to be locked
        ((LOCK,), None),
        (("new",), OLD),  # without a lock it is somebody else's
        ((LOCK, "new", "letter.txt"), OLD),
    ],
)
def test_what_may_be_somebodys_is_kept(tmp_path: Path, files: tuple, modified: float) -> None:
    left = scratch(tmp_path, *files, modified=modified)
    make(tmp_path)
    assert sorted(os.listdir(left)) == sorted(files)


def test_what_cannot_be_listed_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user's folder, which root alone may list, and a file that is called like one."""
    left = scratch(tmp_path, LOCK, "new", modified=OLD)
    (tmp_path / ".store.d4_e5_f6").touch()
    listed = Path.iterdir

    def refusing(folder: Path) -> Iterator[Path]:
        if folder == left:
            raise PermissionError(13, "Permission denied")
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", refusing)
    make(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [left.name, ".store.d4_e5_f6", "store"]


def test_what_a_process_is_at_work_in_is_kept(tmp_path: Path) -> None:
    left = scratch(tmp_path, "new", modified=OLD)
    with lock(left):
        make(tmp_path)
        assert sorted(os.listdir(left)) == [LOCK, "new"]


def test_nothing_appears_where_it_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), appearing_whole(tmp_path / "store", lambda _: None):
        raise ZeroDivisionError
    assert not os.listdir(tmp_path)


def write(folder: Path) -> None:
    index = StoreIndex(("class",), (2,), (4, 4, 1), 255, files=("a.png", "b.png"))
    write_store(folder, index, lambda pixels: pixels.fill(7))


def test_a_store_is_replaced_but_nothing_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "store")
    write(tmp_path / "store")
    (tmp_path / "store" / "thesis.tex").touch()
    with pytest.raises(UserError, match=r"store: holds more than a store \(thesis\.tex\)"):
        write(tmp_path / "store")
    assert {path.name for path in (tmp_path / "store").iterdir()} == {*STORE_FILES, "thesis.tex"}


def test_what_another_process_put_into_the_cache_meanwhile_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def arriving(folder: Path) -> bool:
        """The other process is done just after the first look."""
        if folder.exists():
            return is_store(folder)
        write(folder)
        return False

    monkeypatch.setenv("REPTILE_CACHE", str(tmp_path))
    monkeypatch.setattr(store, "is_store", arriving)
    assert cached_store("key", lambda folder: None).names == ("class",)


def test_what_came_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    def check(place: Path) -> None:
        if place.exists():
            raise UserError("there is something")

    with pytest.raises(UserError), appearing_whole(tmp_path / "store", check):
        (tmp_path / "store").mkdir()
    assert os.listdir(tmp_path) == ["store"]
