"""Trained weights for other programs: .npz, SavedModel, or what the browser reads.

Every export is a folder with `export.json`, which describes the weights and has size and sha256
of each other file. The folder appears whole or not at all.

    npz         weights.npz: see `snapshot`
    web         weights.bin: all weights, then all second moments, float32, little-endian
    savedmodel  a SavedModel: see `export_savedmodel`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from supervised_reptile.errors import UserError
from supervised_reptile.runs.open_weights import (
    FORMAT,
    MANIFEST,
    NPZ_FILE,
    file_fingerprint,
    read_manifest,
    verify_export,
)
from supervised_reptile.runs.snapshot import Snapshot, flat, write_npz
from supervised_reptile.system.atomic_files import json_text, reading, sync, writing
from supervised_reptile.system.atomic_folders import appearing_whole

WEB_FILE = "weights.bin"


def write_export(folder: Path, snapshot: Snapshot, form: str, overwrite: bool = False) -> None:
    """Write `snapshot` in one of FORMATS to `folder`.

    Raises:
      UserError: the folder cannot be written, holds other files, also beside an export, or holds
        an export and `overwrite` is not given.
    """
    with writing(folder), appearing_whole(folder, partial(_check_place, overwrite)) as temporary:
        FORMATS[form](temporary, snapshot)
        contents = {p.relative_to(temporary).as_posix(): p.read_bytes() for p in _files(temporary)}
        manifest = _manifest(form, snapshot, contents)
        (temporary / MANIFEST).write_text(json_text(manifest), encoding="utf8")
        for path in _files(temporary):
            sync(path)


def load_savedmodel(folder: Path) -> Any:
    """The model of an export (a tf.Module), after its checksums were found right.

    Raises:
      UserError: it is not a SavedModel's export, or a file is not as it was written.
    """
    if verify_export(folder)["kind"] != "savedmodel":
        raise UserError(f"{folder}: not an export of --format savedmodel")
    from supervised_reptile.system.start_tensorflow import start_tensorflow

    start_tensorflow()
    import tensorflow as tf

    return tf.saved_model.load(str(folder))


def web_files(snapshot: Snapshot) -> dict[str, bytes]:
    """What the browser reads, without writing it: file name -> content."""
    contents = {WEB_FILE: web_bytes(snapshot)}
    return {MANIFEST: json_text(_manifest("web", snapshot, contents)).encode(), **contents}


def web_bytes(snapshot: Snapshot) -> bytes:
    """Weights [P], then second moments [P]: float32, little-endian."""
    both = np.concatenate([flat(snapshot.weights), flat(snapshot.second_moment)])
    return both.astype("<f4").tobytes()


def _write_npz(folder: Path, snapshot: Snapshot) -> None:
    write_npz(folder / NPZ_FILE, snapshot)


def _write_web(folder: Path, snapshot: Snapshot) -> None:
    (folder / WEB_FILE).write_bytes(web_bytes(snapshot))


def _write_savedmodel(folder: Path, snapshot: Snapshot) -> None:
    from supervised_reptile.system.start_tensorflow import start_tensorflow

    start_tensorflow()
    from supervised_reptile.inference.export_savedmodel import write_savedmodel

    write_savedmodel(folder, snapshot)


FORMATS: Mapping[str, Callable[[Path, Snapshot], None]] = {
    "npz": _write_npz,
    "savedmodel": _write_savedmodel,
    "web": _write_web,
}


def _manifest(form: str, snapshot: Snapshot, contents: Mapping[str, bytes]) -> dict[str, Any]:
    files = {name: file_fingerprint(content) for name, content in contents.items()}
    return {"format": FORMAT, "kind": form, **snapshot.metadata(), "files": files}


def _check_place(overwrite: bool, folder: Path) -> None:
    """Refuse a folder with files that nobody asked to replace (UserError)."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / MANIFEST).is_file():
        raise UserError(f"{folder}: holds other files; name a new or empty folder for the export")
    with reading(folder, "move it away, or name another folder", "not a readable export"):
        known = {MANIFEST, *read_manifest(folder)["files"]}
    names = {path.relative_to(folder).as_posix() for path in _files(folder)}
    if foreign := sorted(names - known):
        raise UserError(f"{folder}: holds more than an export ({foreign[0]}); move that away")
    if not overwrite:
        raise UserError(f"{folder}: holds an export already; give --overwrite to replace it")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
