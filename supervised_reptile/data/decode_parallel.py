"""Decoding many images on all cores.

It runs in threads: Pillow lets go of the interpreter while it decompresses and
resizes, so they keep the cores busy (1.75 times as fast on two cores for 84x84 JPEGs,
more for larger ones), and the workers need neither pickling nor a fresh interpreter,
which would run the caller's main module once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np

from supervised_reptile.data.layouts.decode_image import PixelForm, decode
from supervised_reptile.data.layouts.layout import BrokenImage, Content
from supervised_reptile.data.store import BLOCK, release_pages
from supervised_reptile.system.progress_bar import Bar
from supervised_reptile.system.thread_pool import cores, map_ahead

BATCH = 8  # images a worker takes at once


class Decode(Protocol):
    """A function that decodes one image."""

    def __call__(self, content: Content, form: PixelForm) -> tuple[np.ndarray, tuple[str, ...]]:
        """Pixels, uint8 [size, size, channels], and what was changed in their levels.

        Raises:
          BrokenImage: it cannot be decoded.
        """
        ...


class DecodedRows(NamedTuple):
    """What is to be said of decoded images, by row."""

    broken: dict[int, str]  # the reason; their pixels are left as they were
    changed: dict[int, tuple[str, ...]]  # what was changed in the levels; absent where nothing


def decode_into(
    pixels: np.ndarray,
    contents: Iterable[tuple[int, Content]],
    form: PixelForm,
    decode: Decode = decode,
) -> DecodedRows:
    """Decode images into the rows of a writable store, with a progress bar on terminals.

    Args:
      pixels: uint8 [images, size, size, channels].
      contents: (row, content), read in this thread and decoded in others; only a few
        are held in memory at a time.
    """
    result = DecodedRows({}, {})
    work = partial(_decode_batch, pixels, form, decode)
    bar = Bar(total=len(pixels), desc="decoding", unit="image")
    with bar, ThreadPoolExecutor(cores()) as pool:
        for done, (count, rows) in enumerate(map_ahead(pool, work, _batches(contents))):
            result.broken.update(rows.broken)
            result.changed.update(rows.changed)
            bar.update(count)
            if done % (BLOCK // BATCH) == 0:
                release_pages(pixels)
    return result


def _decode_batch(
    pixels: np.ndarray, form: PixelForm, decode: Decode, batch: list[tuple[int, Content]]
) -> tuple[int, DecodedRows]:
    result = DecodedRows({}, {})
    for row, content in batch:
        try:
            pixels[row], changes = decode(content, form)
        except BrokenImage as reason:
            result.broken[row] = str(reason)
        else:
            if changes:
                result.changed[row] = changes
    return len(batch), result


def _batches(contents: Iterable[tuple[int, Content]]) -> Iterator[list[tuple[int, Content]]]:
    iterator = iter(contents)
    while batch := list(islice(iterator, BATCH)):
        yield batch
