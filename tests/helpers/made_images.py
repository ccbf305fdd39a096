"""A tiny data set in the form of Mini-ImageNet, and ways to lay it on disk."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = {
    "train": ("n01532829", "n01558993", "n01704323"),
    "val": ("n01855672",),
    "test": ("n01930112", "n01981276"),
}
RANKS = (2, 5, 11)  # of each class's images

Pictures = Mapping[tuple[str, str, str], bytes]  # (split, class, file) -> encoded image


def picture(seed: int, size: tuple[int, int] = (84, 84)) -> Image.Image:
    """A smooth colour picture, different for every seed."""
    values = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    return Image.fromarray(values).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    """The image as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pictures() -> Pictures:
    """Three pictures of each class, called as Ravi and Larochelle call them."""
    made = {}
    for split, labels in CLASSES.items():
        for label in labels:
            for rank in RANKS:
                made[split, label, f"{label}{rank:08d}.jpg"] = encoded(picture(len(made)))
    return made


def write_folders(root: Path, made: Pictures) -> Path:
    """`<split>/<class>/<file>` below `root`."""
    for parts, data in made.items():
        path = root.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def write_zip(path: Path, members: Mapping[str, bytes]) -> Path:
    """A zip of the members, in their order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def write_tar(path: Path, members: Mapping[str, bytes], mode: str = "w") -> Path:
    """A tar of the members, in their order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def write_csvs(root: Path, made: Pictures) -> Path:
    """Ravi and Larochelle's three CSVs."""
    root.mkdir(parents=True, exist_ok=True)
    for split in CLASSES:
        rows = [f"{file},{label}" for part, label, file in made if part == split]
        (root / f"{split}.csv").write_text("\n".join(["filename,label", *rows]) + "\n")
    return root


def expected_pixels(made: Pictures) -> np.ndarray:
    """uint8 [images, 84, 84, 3] in the store's order, decoded by Pillow alone."""
    order = sorted(made, key=lambda parts: (tuple(CLASSES).index(parts[0]), *parts[1:]))
    return np.stack([np.asarray(Image.open(io.BytesIO(made[parts]))) for parts in order])
