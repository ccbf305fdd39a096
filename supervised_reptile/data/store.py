"""ImageStore: decoded images on disk, memory-mapped, opened without decoding anything.

A store is a folder with two or three files::

    images.npy      uint8 [images, height, width, channels], the images of a class consecutive
    store.json      class counts and names, the value meaning 1.0, splits, provenance, and the
                    sha256 of the data
    files.json      optional: the name of every image's file, read only when asked for

It is written under a temporary name and renamed into place, so a store either
exists whole or does not exist. Nothing in this package's `data` knows about TensorFlow.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import mmap
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from supervised_reptile.errors import UserError
from supervised_reptile.system.atomic_files import (
    CannotWriteError,
    home_expanded,
    json_text,
    read_json,
    reading,
    writing,
)
from supervised_reptile.system.atomic_folders import appearing_whole

FORMAT = "supervised-reptile image store 1"
IMAGES_FILE = "images.npy"
INDEX_FILE = "store.json"
FILES_FILE = "files.json"
STORE_FILES = {IMAGES_FILE, INDEX_FILE, FILES_FILE, "checksums.npy"}  # older stores have the last
AGAIN = "import the data again"
BLOCK = 4096  # images looked at together where a whole store is read or written


@dataclass(frozen=True)
class ImageStore:
    """Decoded images of many classes.

    `splits` is empty where the data set brings no split of its own (Omniglot is
    shuffled per seed); otherwise it maps "train", "val" and "test" to class indices.
    """

    images: np.ndarray  # uint8 [images, height, width, channels]
    offsets: np.ndarray  # int64 [classes + 1]; class c is images[offsets[c]:offsets[c + 1]]
    names: tuple[str, ...]  # [classes]
    max_value: int  # the pixel value that stands for 1.0: 1 or 255
    checksum: str  # sha256 over pixels and index: identifies the data
    splits: Mapping[str, np.ndarray] = field(default_factory=dict)  # name -> int64 [classes in it]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None  # where the store lies on disk, if it does

    @cached_property
    def files(self) -> tuple[str, ...]:
        """The name of each image's file within its class, [images]; () where none were kept."""
        path = self.folder / FILES_FILE if self.folder else None
        if path is None or not path.exists():
            return ()
        # Of a store in the cache, deleting it is all, since it is then made again.
        with reading(path, f"delete {path.parent}, and {AGAIN}"):
            files = tuple(json.loads(path.read_bytes()))
            if len(files) != len(self.images):
                raise ValueError("it does not fit its store")
            return files

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    @property
    def counts(self) -> np.ndarray:
        """Images per class, int64 [classes]."""
        return np.diff(self.offsets)


@dataclass(frozen=True)
class StoreIndex:
    """Everything of a store but its pixels: what `write_store` needs to know beforehand."""

    names: tuple[str, ...]  # [classes]
    counts: tuple[int, ...]  # images per class
    image_shape: tuple[int, int, int]
    max_value: int
    splits: Mapping[str, list[int]] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[str, ...] = ()  # [images]: each image's file within its class; () keeps none


def write_store(
    folder: Path, index: StoreIndex, fill: Callable[[np.ndarray], Mapping[str, Any] | None]
) -> None:
    """Write a store to `folder`, which appears only when complete (an older store is replaced).

    Args:
      folder: the store's folder; its parents are made.
      index: class names and counts, in the order of the images.
      fill: called with a writable map of the growing `images.npy`,
        uint8 [images, height, width, channels]; it must set every image. What it returns is
        added to the provenance.

    Raises:
      UserError: the folder cannot be written, or holds something other than a store, or more.
    """
    with writing(folder), appearing_whole(folder, _refuse_foreign) as temporary:
        path = temporary / IMAGES_FILE
        shape = (sum(index.counts), *index.image_shape)
        pixels = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
        _reserve(path)
        provenance = {**index.provenance, **(fill(pixels) or {})}
        index = dataclasses.replace(index, provenance=provenance)
        pixels.flush()
        if index.files:
            (temporary / FILES_FILE).write_text(json.dumps(index.files), encoding="utf8")
        described = json_text(_describe(index, pixels))
        (temporary / INDEX_FILE).write_text(described, encoding="utf8")


def open_store(folder: Path) -> ImageStore:
    """Open the store in `folder`; pixels stay on disk until they are used.

    Raises:
      UserError: there is no store, it is of another format, or its files disagree.
    """
    with reading(folder, AGAIN, "not a readable image store"):
        described = read_json(folder / INDEX_FILE)
        if described["format"] != FORMAT:
            raise ValueError(f"its format is {described['format']!r}, not {FORMAT!r}")
        images = np.load(folder / IMAGES_FILE, mmap_mode="r", allow_pickle=False)
        offsets = np.concatenate([[0], np.cumsum(described["counts"], dtype=np.int64)])
        if images.shape != (offsets[-1], *described["image_shape"]) or images.dtype != np.uint8:
            raise ValueError(f"{IMAGES_FILE} and {INDEX_FILE} disagree")
        return ImageStore(
            images=images,
            offsets=offsets,
            names=tuple(described["names"]),
            max_value=described["max_value"],
            checksum=described["checksum"],
            splits={name: np.array(ids, np.int64) for name, ids in described["splits"].items()},
            provenance=described["provenance"],
            folder=folder,
        )


def is_store(folder: Path) -> bool:
    """Whether `folder` holds a store (readable or not)."""
    return (folder / INDEX_FILE).is_file()


def pixel_checksum(store: ImageStore) -> str:
    """The checksum of the files as they are now; not `store.checksum` if they were damaged."""
    index = StoreIndex(
        names=store.names,
        counts=tuple(int(n) for n in store.counts),
        image_shape=store.image_shape,
        max_value=store.max_value,
        splits={name: [int(c) for c in ids] for name, ids in store.splits.items()},
    )
    return _checksum(index, store.images)


def cached_store(key: str, build: Callable[[Path], None]) -> ImageStore:
    """The store called `key` in the user's cache folder, built by `build(folder)` where missing.

    The folder is `$REPTILE_CACHE`, else the system's, which for Linux is `~/.cache`. A store there
    that cannot be read is built again.
    """
    folder = cache_folder() / key
    if is_store(folder):
        with contextlib.suppress(UserError):
            return open_store(folder)
    # What is left of one; nothing else has this name, but another process may have made it now.
    elif folder.exists() and not is_store(folder):
        shutil.rmtree(folder)
    try:
        build(folder)
    except CannotWriteError as error:
        raise CannotWriteError(
            f"{error}. Decoded images are cached there; set REPTILE_CACHE=FOLDER to move them"
        ) from error
    return open_store(folder)


def cache_folder() -> Path:
    """Where decoded copies of data sets are kept from one run to the next."""
    if own := os.environ.get("REPTILE_CACHE"):
        return Path(home_expanded(own, "REPTILE_CACHE"))
    return platformdirs.user_cache_path("supervised-reptile")


def files_fingerprint(paths: list[Path], root: Path) -> str:
    """A short key of the files' names, sizes and modification times: changes when they do."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        status = path.stat()
        name = path.relative_to(root).as_posix()
        line = f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n"
        digest.update(os.fsencode(line))  # names of files need not be UTF-8
    return digest.hexdigest()[:16]


def image_blocks(images: np.ndarray) -> Iterator[np.ndarray]:
    """Consecutive blocks of `images`, uint8 [at most BLOCK, height, width, channels].

    Walking over a memory-mapped store this way keeps one block of it resident, not all.
    """
    for start in range(0, len(images), BLOCK):
        yield images[start : start + BLOCK]
        release_pages(images)


def release_pages(images: np.ndarray) -> None:
    """Give the resident pages of a memory-mapped array back; what was written stays written."""
    if isinstance(images.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        images.base.madvise(mmap.MADV_DONTNEED)


def _reserve(path: Path) -> None:
    """Take the room for all of a file: where it is missing later, writing to a map kills."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _refuse_foreign(folder: Path) -> None:
    """Replacing a folder deletes what it holds: only a store may be replaced."""
    foreign = any(folder.iterdir()) if folder.is_dir() else folder.exists()
    if foreign and not is_store(folder):
        raise UserError(f"{folder}: holds other files; name a new or empty folder for the store")
    if foreign and (more := sorted({path.name for path in folder.iterdir()} - STORE_FILES)):
        raise UserError(f"{folder}: holds more than a store ({more[0]}); move that away")


def _describe(index: StoreIndex, pixels: np.ndarray) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "checksum": _checksum(index, pixels),
        "image_shape": list(index.image_shape),
        "max_value": index.max_value,
        "provenance": dict(index.provenance),
        "splits": {name: list(ids) for name, ids in index.splits.items()},
        "names": list(index.names),
        "counts": list(index.counts),
    }


def _checksum(index: StoreIndex, pixels: np.ndarray) -> str:
    """sha256 over the class table and every pixel."""
    table = [index.names, index.counts, index.image_shape, index.max_value, dict(index.splits)]
    digest = hashlib.sha256(json.dumps(table).encode())
    for block in image_blocks(pixels):
        digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()
