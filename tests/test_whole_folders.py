"""Folders that appear whole or not at all, and what processes that were killed left of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervised_reptile import whole_folders
from supervised_reptile.errors import UserError
from supervised_reptile.locks import LOCK, lock
from supervised_reptile.whole_folders import appearing_whole


def scratch(folder: Path, *files: str) -> Path:
    """What a process that makes `folder`/store has beside it."""
    place = folder / ".store.a1_b2_c3"
    place.mkdir()
    for name in files:
        (place / name).touch()
    return place


def make(folder: Path) -> None:
    with appearing_whole(folder / "store", lambda _: None) as new:
        (new / "file").touch()
    assert os.listdir(folder / "store") == ["file"]


@pytest.mark.parametrize("files", [(), (LOCK,), (LOCK, "new"), (LOCK, "new", "old")])
def test_what_was_given_up_is_removed(tmp_path: Path, files: tuple) -> None:
    left = scratch(tmp_path, *files)
    make(tmp_path)
    assert not left.exists()


@pytest.mark.parametrize("give_up", [False, True])
def test_who_is_killed_while_removing_leaves_what_can_be_removed(
    give_up: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what was given up, or of its own after the block failed, in any order of files."""

    def remove_one(folder: Path, **_: object) -> None:
        """As much as rmtree has done when it is killed: a file, of those that can be first."""
        first = sorted(path for path in folder.rglob("*") if path.is_file())[:1]
        for path in first:
            path.unlink()
        raise KeyboardInterrupt

    if give_up:
        left = scratch(tmp_path, LOCK)
        (left / "new").mkdir()
        (left / "new" / "zebra").touch()

    def fail() -> None:
        with appearing_whole(tmp_path / "store", lambda _: None) as new:
            (new / "zebra").touch()
            raise ZeroDivisionError

    with monkeypatch.context() as context:
        context.setattr(whole_folders.shutil, "rmtree", remove_one)
        with pytest.raises(KeyboardInterrupt):
            fail()
    assert len(os.listdir(tmp_path)) == 1
    make(tmp_path)
    assert os.listdir(tmp_path) == ["store"]


@pytest.mark.parametrize("files", [("new",), (LOCK, "new", "letter.txt")])
def test_what_may_be_somebodys_is_kept(tmp_path: Path, files: tuple) -> None:
    """Without a lock, or with more than we put there."""
    left = scratch(tmp_path, *files)
    make(tmp_path)
    assert sorted(os.listdir(left)) == sorted(files)


def test_what_cannot_be_listed_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user's folder, which root alone may list, and a file that is called like one."""
    left = scratch(tmp_path, LOCK, "new")
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
    left = scratch(tmp_path, "new")
    with lock(left):
        make(tmp_path)
        assert sorted(os.listdir(left)) == [LOCK, "new"]


@pytest.mark.parametrize("when", ["before its lock", "before its lock, which is there", "after"])
def test_one_that_is_removed_before_it_is_locked(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process takes the first scratch folder for abandoned: a second one is made."""
    made: list[Path] = []

    def locking(folder: Path) -> object:
        made.append(folder)
        if len(made) > 1:
            return lock(folder)
        if when == "after":  # it was opened before, and held when its name was gone
            held = lock(folder)
            whole_folders.shutil.rmtree(folder)
            return held
        if "there" in when:
            (folder / LOCK).touch()
        with lock(folder):  # the other one's, who is at it
            return lock(folder)

    monkeypatch.setattr(whole_folders, "lock", locking)
    make(tmp_path)
    assert len(made) == 2


def test_what_was_being_replaced_is_restored(tmp_path: Path) -> None:
    """Killed between the two renamings; the next one then fails."""
    left = scratch(tmp_path, LOCK)
    (left / "new").mkdir()
    (left / "old").mkdir()
    (left / "old" / "letter.txt").touch()
    with pytest.raises(ZeroDivisionError), appearing_whole(tmp_path / "store", lambda _: None):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == ["store"]
    assert os.listdir(tmp_path / "store") == ["letter.txt"]


def test_nothing_appears_where_it_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), appearing_whole(tmp_path / "store", lambda _: None):
        raise ZeroDivisionError
    assert not os.listdir(tmp_path)


def test_what_came_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    def check(place: Path) -> None:
        if place.exists():
            raise UserError("there is something")

    with pytest.raises(UserError), appearing_whole(tmp_path / "store", check):
        (tmp_path / "store").mkdir()
    assert os.listdir(tmp_path) == ["store"]
