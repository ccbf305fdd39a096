"""A store: what may be replaced, and what two processes make of one place in the cache."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from supervised_reptile.data import store
from supervised_reptile.data.store import (
    StoreIndex,
    cache_folder,
    cached_store,
    is_store,
    write_store,
)
from supervised_reptile.errors import UserError


def write(folder: Path) -> None:
    index = StoreIndex(("class",), (2,), (4, 4, 1), 255, files=("a.png", "b.png"))
    write_store(folder, index, lambda pixels: pixels.fill(7))


def test_a_store_is_replaced_but_nothing_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "store")
    write(tmp_path / "store")
    (tmp_path / "store" / "thesis.tex").touch()
    with pytest.raises(UserError, match=r"store: holds more than a store \(thesis\.tex\)"):
        write(tmp_path / "store")
    assert {path.name for path in (tmp_path / "store").iterdir()} == {
        "images.npy",
        "store.json",
        "files.json",
        "thesis.tex",
    }


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


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other folders")
def test_the_cache_is_where_it_always_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REPTILE_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path.home() / ".cache" / "supervised-reptile"
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_folder() == Path("/caches/supervised-reptile")
    monkeypatch.setenv("REPTILE_CACHE", "/own")
    assert cache_folder() == Path("/own")
