"""Omniglot: 105x105 one-bit drawings, 20 of each of 1,623 characters in 50 alphabets.

Reads the alphabets' folder, a folder that holds `images_background/` and
`images_evaluation/`, or those two archives as they were downloaded.
"""

from __future__ import annotations

import io
import random
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from supervised_reptile.data.dataset import ClassPool, Dataset, pool_of
from supervised_reptile.data.decode import DECODER
from supervised_reptile.data.items import BrokenImage
from supervised_reptile.data.store import (
    ImageStore,
    StoreIndex,
    cached_store,
    files_fingerprint,
    is_store,
    open_store,
    write_store,
)
from supervised_reptile.drawings import legible
from supervised_reptile.errors import UserError
from supervised_reptile.files import UNREADABLE
from supervised_reptile.progress import Bar

SIZE = 28  # pixels a side after resizing
TRAIN_CHARACTERS = 1200
TURNED = " turned by "  # between the names of a character and of its rotation, in degrees
PARTS = ("images_background", "images_evaluation")

HOW_TO_GET = (
    "run ./fetch_data.sh omniglot, or point --data-dir at the folder of alphabets "
    "(Alphabet/character01/*.png), at a folder with images_background/ and images_evaluation/ or "
    "their two zip archives, or at drawn alphabets (reptile data glyphs --out data/glyphs)"
)


# What Pillow and zipfile raise on damaged, encrypted or absurdly large files.
DAMAGE = (*UNREADABLE, Image.DecompressionBombError, BrokenImage)


class Drawing(NamedTuple):
    """One image file: its class, its name, and how to get its bytes."""

    character: tuple[str, str]  # ("Alphabet", "character01"): sorted by alphabet, then folder
    name: str  # for messages and for the order within the class
    read: Callable[[], bytes]


def load_omniglot(data_dir: Path, seed: int, val_classes: int = 0) -> Dataset:
    """The Omniglot split of `seed`: 1,200 training characters (each in four rotations), 423 test.

    `random.Random(seed)` shuffles the sorted characters (design: the original's split); where
    there are fewer than 1,623, the same share of them is for training. The last `val_classes`
    training characters become the validation split, unrotated as the test characters are.

    Raises:
      UserError: no data, an unreadable file, or too few characters for `val_classes`.
    """
    store = open_omniglot_store(data_dir)
    order = list(range(len(store.names)))
    random.Random(seed).shuffle(order)
    train_count = train_share(len(order))
    if val_classes >= train_count:
        raise UserError(f"--val-classes {val_classes}: there are only {train_count} to train on")
    train = np.array(order[: train_count - val_classes], np.int64)
    pools = {"test": pool_of(store, np.array(order[train_count:], np.int64))}
    if val_classes:
        pools["val"] = pool_of(store, np.array(order[train_count - val_classes : train_count]))
    images, pools["train"] = _with_rotations(store, train)
    return Dataset(images, store.max_value, pools, store.checksum)


def is_turned(name: str) -> bool:
    """Whether a class is a character's rotation, as only data read here have them."""
    return TURNED in name


def train_share(characters: int) -> int:
    """How many of the characters are for training: 1,200 of the full set, else in proportion."""
    return min(TRAIN_CHARACTERS, round(characters * TRAIN_CHARACTERS / 1623))


def open_omniglot_store(data_dir: Path) -> ImageStore:
    """All characters as a store, classes sorted by alphabet, then by character folder.

    Decoded once and kept in the user's cache. Class names read "Alphabet/character01".

    Raises:
      UserError: no data in `data_dir`, a store of other images, or a file that is not an image.
    """
    if is_store(data_dir):
        store = open_store(data_dir)
        if store.splits or store.image_shape != (SIZE, SIZE, 1):
            raise UserError(f"{data_dir}: a store, but not of Omniglot's drawings; {HOW_TO_GET}")
        return store
    files = find_omniglot(data_dir)
    key = f"omniglot-{SIZE}-{DECODER}-{files_fingerprint(files, data_dir)}"
    return cached_store(key, lambda folder: _build(folder, data_dir))


def find_omniglot(data_dir: Path) -> list[Path]:
    """The files that hold the drawings: PNGs, or the archives. Sorted.

    Raises:
      UserError: `data_dir` is missing or holds none.
    """
    if not data_dir.is_dir():
        raise UserError(f"{data_dir}: no such folder of Omniglot drawings; {HOW_TO_GET}")
    files: list[Path] = []
    for part in PARTS:
        archive = data_dir / f"{part}.zip"
        drawings = list((data_dir / part).glob("*/*/*.png"))  # an empty folder hides no archive
        files += drawings or ([archive] if archive.is_file() else [])
    files = files or list(data_dir.glob("*/*/*.png"))
    if not files:
        raise UserError(f"{data_dir}: no Omniglot drawings in it; {HOW_TO_GET}")
    return sorted(files)


def sorted_drawings(data_dir: Path) -> list[Drawing]:
    """All image files, in the order of the store's images.

    Raises:
      UserError: there are none.
    """
    drawings = sorted(_drawings(find_omniglot(data_dir)), key=lambda d: (d.character, d.name))
    if not drawings:
        raise UserError(f"{data_dir}: no Omniglot drawings in it; {HOW_TO_GET}")
    return drawings


def decode_drawing(data: bytes) -> np.ndarray:
    """PNG bytes to uint8 [28, 28, 1], 0 ink and 1 paper, resized as the original program did.

    Raises whatever Pillow raises on bytes that are not an image, or BrokenImage.
    """
    with Image.open(io.BytesIO(data)) as image:
        # Nearest is Pillow's choice for one-bit images, and the one the paper's numbers rest on.
        small = legible(image).convert("1").resize((SIZE, SIZE), Image.Resampling.NEAREST)
    return np.asarray(small, np.uint8)[:, :, None]


def _build(folder: Path, data_dir: Path) -> None:
    drawings = sorted_drawings(data_dir)
    counts = Counter(drawing.character for drawing in drawings)  # keeps the sorted order
    index = StoreIndex(
        names=tuple("/".join(character) for character in counts),
        counts=tuple(counts.values()),
        image_shape=(SIZE, SIZE, 1),
        max_value=1,
        provenance={"data": "Omniglot", "resized": f"{SIZE}x{SIZE}, nearest"},
        files=tuple(Path(d.name).name for d in drawings),
    )

    def fill(pixels: np.ndarray) -> None:
        for row, drawing in enumerate(Bar(drawings, "Decoding", unit="image")):
            pixels[row] = _decode_named(drawing)

    write_store(folder, index, fill)


def _decode_named(drawing: Drawing) -> np.ndarray:
    try:
        return decode_drawing(drawing.read())
    except DAMAGE as error:
        raise UserError(
            f"{drawing.name}: not a readable image ({error}); fetch or copy this file again"
        ) from error


def _drawings(files: list[Path]) -> Iterator[Drawing]:
    for path in files:
        if path.suffix == ".zip":
            yield from _zip_drawings(path)
        else:
            character = (path.parent.parent.name, path.parent.name)
            yield Drawing(character, str(path), path.read_bytes)


def _zip_drawings(path: Path) -> Iterator[Drawing]:
    """Drawings inside an archive; members are only read in place, never extracted."""
    try:
        archive = zipfile.ZipFile(path)
    except DAMAGE as error:
        raise UserError(f"{path}: not a readable zip archive ({error}); fetch it again") from error
    for member in archive.namelist():
        parts = member.split("/")
        if len(parts) >= 3 and member.endswith(".png") and parts[0] != "__MACOSX":
            character = (parts[-3], parts[-2])
            yield Drawing(character, f"{path}/{member}", lambda m=member: archive.read(m))


def _with_rotations(store: ImageStore, train: np.ndarray) -> tuple[np.ndarray, ClassPool]:
    """All images, then the training classes turned by 90, 180 and 270 degrees as new classes."""
    upright = pool_of(store, train)
    rows = np.concatenate(
        [np.arange(s, s + n) for s, n in zip(upright.starts, upright.counts, strict=True)]
    )
    firsts = np.cumsum(upright.counts) - upright.counts  # of each class within `rows`
    images, starts, names = [np.asarray(store.images)], [upright.starts], list(upright.names)
    for quarter in (1, 2, 3):
        images.append(np.rot90(store.images[rows], quarter, axes=(1, 2)))
        starts.append(firsts + len(store.images) + (quarter - 1) * len(rows))
        names += [f"{name}{TURNED}{90 * quarter}" for name in upright.names]
    pool = ClassPool(np.concatenate(starts), np.tile(upright.counts, 4), tuple(names))
    return np.ascontiguousarray(np.concatenate(images)), pool
