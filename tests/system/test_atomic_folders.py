"""Folders that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from supervised_reptile.errors import UserError
from supervised_reptile.system.atomic_folders import appearing_whole


def make(path: Path, name: str) -> None:
    with appearing_whole(path, lambda _: None) as new:
        (new / name).touch()
        assert not path.exists() or name not in os.listdir(path)


def test_a_folder_appears_at_the_end_and_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for name in ("first", "second"):
        make(tmp_path / "below" / "store", name)
        assert os.listdir(tmp_path / "below") == ["store"]
        assert os.listdir(tmp_path / "below" / "store") == [name]


def test_it_can_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    make(tmp_path / "store", "file")
    assert (tmp_path / "store").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_of_a_link_the_folder_behind_it_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("store")
    make(tmp_path / "link", "file")
    assert (tmp_path / "link").is_symlink()
    assert os.listdir(tmp_path / "store") == ["file"]


def test_nothing_changes_where_it_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with appearing_whole(tmp_path / "store", lambda _: None) as new:
            (new / "second").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not os.listdir(tmp_path)
    make(tmp_path / "store", "first")
    with pytest.raises(KeyboardInterrupt):
        fail()
    assert os.listdir(tmp_path) == ["store"]
    assert os.listdir(tmp_path / "store") == ["first"]


def test_interrupted_between_the_two_renamings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "store", "first")
    rename = Path.rename

    def interrupted(source: Path, target: Path) -> None:
        if source.name == "new":
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "store", "second")
    assert os.listdir(tmp_path) == ["store"]
    assert os.listdir(tmp_path / "store") == ["first"]


def test_what_a_killed_process_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / ".store.a1_b2_c3" / "new").mkdir(parents=True)
    make(tmp_path / "store", "file")
    assert os.listdir(tmp_path / "store") == ["file"]


def test_what_came_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    def check(path: Path) -> None:
        if path.exists():
            raise UserError("there is something")

    with pytest.raises(UserError), appearing_whole(tmp_path / "store", check):
        (tmp_path / "store").mkdir()
    assert os.listdir(tmp_path) == ["store"]
