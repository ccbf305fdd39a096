"""CheckedImages: images on disk, each compared with its checksum when it is first read.

Reading a whole store to see whether a bit has flipped would take seconds, and opening one must
take none. So a store has the CRC-32 of every image, 4 bytes for each, and images are checked as
they come by: once in a process, at a gigabyte a second or more. `reptile data verify` checks all
of them, and that they are the ones that were imported.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np


class CheckedImages:
    """Reads like the uint8 [images, height, width, channels] that it is made of."""

    def __init__(
        self,
        pixels: np.ndarray,
        checksums: Callable[[], np.ndarray],
        refuse: Callable[[int], Exception],
    ) -> None:
        """`checksums()` gives those of `pixels`; a damaged image raises `refuse(its number)`."""
        self.pixels = pixels  # unchecked, for those who check them as a whole
        self._load, self._refuse = checksums, refuse
        self._checksums: np.ndarray | None = None
        self._fresh = np.ones(len(pixels), bool)  # not read yet
        self._rows = np.arange(len(pixels))

    @property
    def shape(self) -> tuple[int, ...]:
        """(images, height, width, channels)."""
        return self.pixels.shape

    @property
    def dtype(self) -> np.dtype:
        """Always uint8."""
        return self.pixels.dtype

    @property
    def nbytes(self) -> int:
        """Of all images."""
        return self.pixels.nbytes

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, key: Any) -> np.ndarray:
        """The images numbered by `key`: an integer, a slice or an array."""
        chosen, rows = self.pixels[key], np.atleast_1d(self._rows[key])
        images = chosen.reshape(-1, *self.shape[1:])
        for place in np.flatnonzero(self._fresh[rows]):
            self._check(int(rows[place]), images[place])
        return chosen

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All of them."""
        if copy is None:  # which NumPy 1 does not take
            return np.asarray(self[:], dtype)
        return np.array(self[:], dtype, copy=copy)

    def _check(self, row: int, image: np.ndarray) -> None:
        if self._checksums is None:
            self._checksums = self._load()
        if _crc(image) != self._checksums[row]:
            raise self._refuse(row)
        self._fresh[row] = False


def image_checksums(images: np.ndarray) -> np.ndarray:
    """The CRC-32 of each of uint8 [n, height, width, channels]: uint32 [n]."""
    return np.array([_crc(image) for image in images], np.uint32)


def unchecked(images: np.ndarray | CheckedImages) -> np.ndarray:
    """The array itself, for those who check it as a whole."""
    return images.pixels if isinstance(images, CheckedImages) else images


def _crc(image: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(image).data)
