"""Snapshot: a trained network at one moment, and the .npz file that holds one. No TensorFlow.

A snapshot is everything that adapting to new classes needs: the weights, Adam's second moments
and time, the network and the settings of the run. The file has an array for each weight,
`weights/<name>` and `second_moment/<name>`, the scalar `time`, and `metadata`, which is JSON text.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from supervised_reptile.config import DATA, EXECUTION, PLACE, Config
from supervised_reptile.errors import UserError
from supervised_reptile.system.atomic_files import reading, replacing, writing

FORMAT = "supervised-reptile weights 1"
WEIGHTS, SECOND_MOMENT = "weights", "second_moment"

Parts = Mapping[str, np.ndarray]  # name -> float32, in the order of the flat vector


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """Weights that can be adapted, with what is known of them."""

    net: Mapping[str, Any]  # the network's fields
    config: Config
    weights: Parts
    second_moment: Parts  # Adam's v: names and shapes are those of `weights`
    time: int  # Adam's t
    outer_steps: int  # of training behind the weights
    data: str  # the data set's checksum
    drawings: bool = False  # whether the images were drawings as in Omniglot: ink 0, paper 1

    def metadata(self) -> dict[str, Any]:
        """All but the numbers, for JSON; paths of the machine it was trained on are left out."""
        config = {
            f.name: getattr(self.config, f.name)
            for f in dataclasses.fields(Config)
            if f.metadata["role"] not in (DATA, EXECUTION, PLACE)
        }
        return {
            "net": dict(self.net),
            "config": config,
            "parts": [{"name": n, "shape": list(a.shape)} for n, a in self.weights.items()],
            "time": self.time,
            "outer_steps": self.outer_steps,
            "data": self.data,
            "drawings": self.drawings,
        }


def flat(parts: Parts) -> np.ndarray:
    """All of them as one vector, float32 [P]."""
    return np.concatenate([part.ravel() for part in parts.values()])


def fingerprint(snapshot: Snapshot, metadata: Mapping[str, Any] | None = None) -> str:
    """What tells snapshots apart: sha256 over the metadata, then every number.

    metadata: as it stands in a file, which an older program may have written with fewer settings.
    """
    described = snapshot.metadata() if metadata is None else metadata
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for parts in (snapshot.weights, snapshot.second_moment):
        digest.update(flat(parts).astype("<f4").tobytes())
    return digest.hexdigest()


def write_npz(path: Path, snapshot: Snapshot) -> None:
    """Write a snapshot to one file, which appears whole or not at all.

    Raises:
      UserError: it cannot be written.
    """
    metadata = {"format": FORMAT, **snapshot.metadata(), "sha256": fingerprint(snapshot)}
    arrays = {
        **{f"{WEIGHTS}/{name}": part for name, part in snapshot.weights.items()},
        **{f"{SECOND_MOMENT}/{name}": part for name, part in snapshot.second_moment.items()},
        "time": np.int64(snapshot.time),
        "metadata": np.array(json.dumps(metadata)),
    }
    with writing(path), replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def read_npz(path: Path) -> Snapshot:
    """The snapshot in a file of `write_npz`.

    Raises:
      UserError: it is missing, of another format, or not as it was written.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file of weights")
    with reading(path, "export or copy them again", "not readable weights"):
        if not zipfile.is_zipfile(path):  # which np.load would read as a single array, or refuse
            raise ValueError("it is no .npz archive")
        with np.load(path, allow_pickle=False) as arrays:
            metadata = json.loads(str(arrays["metadata"]))
            if metadata["format"] != FORMAT:
                raise ValueError(f"its format is {metadata['format']!r}, not {FORMAT!r}")
            snapshot = _from_arrays(metadata, arrays)
        described = {k: v for k, v in metadata.items() if k not in ("format", "sha256")}
        if fingerprint(snapshot, described) != metadata["sha256"]:
            raise ValueError("its checksum does not fit its content")
        return snapshot


def _from_arrays(metadata: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Snapshot:
    names = [part["name"] for part in metadata["parts"]]
    return Snapshot(
        net=metadata["net"],
        config=Config.from_json(json.dumps(metadata["config"])),
        weights={name: arrays[f"{WEIGHTS}/{name}"] for name in names},
        second_moment={name: arrays[f"{SECOND_MOMENT}/{name}"] for name in names},
        time=int(arrays["time"]),
        outer_steps=metadata["outer_steps"],
        data=metadata["data"],
        drawings=metadata.get("drawings", False),  # older files do not say
    )
