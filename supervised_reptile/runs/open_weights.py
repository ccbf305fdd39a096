"""Trained weights by the name of bundled ones, a run directory, an .npz file or an export."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from supervised_reptile.errors import UserError
from supervised_reptile.runs.read_run import holds_run
from supervised_reptile.runs.snapshot import Snapshot, read_npz
from supervised_reptile.system.atomic_files import home_expanded, read_json, reading
from supervised_reptile.system.package_files import PRETRAINED, pretrained_weights

FORMAT = "supervised-reptile export 1"
MANIFEST = "export.json"
NPZ_FILE = "weights.npz"


def open_snapshot(place: Path | str | None) -> Snapshot:
    """Trained weights, by whatever people call them.

    A name in PRETRAINED stands for weights that come with the package (a folder that happens to be
    called like that is ./NAME, or a Path), None for the first of them. Else `place` is a run
    directory, an .npz file, or an export that holds one.

    Raises:
      UserError: there are none, or they cannot be read.
    """
    if place is None or place in PRETRAINED:  # no Path is equal to a name
        shipped = pretrained_weights(str(place or PRETRAINED[0]))
        if not shipped.exists():
            raise UserError(
                f"{shipped.stem}: these weights are missing from this installation; "
                "give --checkpoint RUN"
            )
        return read_npz(shipped)
    if not str(place):
        raise UserError("the path of the weights is empty; . is the current directory")
    path = Path(home_expanded(place))
    if not path.exists():
        raise UserError(
            f"{path}: no such run directory or .npz of weights; the shipped weights are called "
            f"{' or '.join(PRETRAINED)}"
        )
    if path.is_file():
        return read_npz(path)
    if not holds_run(path) and ((path / MANIFEST).exists() or (path / NPZ_FILE).exists()):
        verify_export(path)
        return read_npz(path / NPZ_FILE)
    from supervised_reptile.system.start_tensorflow import start_tensorflow

    start_tensorflow()  # TensorFlow's checkpoints are read by TensorFlow alone
    from supervised_reptile.runs.checkpoint_snapshot import snapshot_of_run

    return snapshot_of_run(path)


def verify_export(folder: Path) -> dict[str, Any]:
    """The description of an export, all of whose files are as they were written.

    Raises:
      UserError: there is no export, or a file is missing or not as it was.
    """
    with reading(folder, "export again", "not a readable export"):
        manifest = read_manifest(folder)
        for name, fingerprint in manifest["files"].items():
            if file_fingerprint((folder / name).read_bytes()) != fingerprint:
                raise ValueError(f"{name} is not as it was written")
        return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """The description of an export, whose files need not be there (see `files.reading`)."""
    manifest = read_json(folder / MANIFEST)
    if manifest["format"] != FORMAT:
        raise ValueError(f"its format is {manifest['format']!r}, not {FORMAT!r}")
    return manifest


def file_fingerprint(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
