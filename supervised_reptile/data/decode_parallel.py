"""Decoding many images on all cores.

It runs in threads: Pillow lets go of the interpreter while it decompresses and
resizes, so they keep the cores busy (1.75 times as fast on two cores for 84x84 JPEGs,
more for larger ones), and the workers need neither pickling nor a fresh interpreter,
which would run the caller's main module once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice

import numpy as np

from supervised_reptile.data.layouts.decode_image import PixelForm, decode
from supervised_reptile.data.layouts.layout import BrokenImage, Content
from supervised_reptile.data.store import BLOCK, release_pages
from supervised_reptile.system.progress_bar import Bar
from supervised_reptile.system.thread_pool import cores, map_ahead

BATCH = 8  # images a worker takes at once


def decode_into(
    pixels: np.ndarray,
    contents: Iterable[tuple[int, Content]],
    form: PixelForm,
    decode: Callable[[Content, PixelForm], np.ndarray] = decode,
) -> dict[int, str]:
    """Decode images into the rows of a writable store, with a progress bar on terminals.

    Args:
      pixels: uint8 [images, size, size, channels].
      contents: (row, content), read in this thread and decoded in others; only a few
        are held in memory at a time.
      decode: gives one image's pixels, or raises BrokenImage.

    Returns:
      For each row whose image is broken, the reason; its pixels are left as they were.
    """
    broken: dict[int, str] = {}
    work = partial(_decode_batch, pixels, lambda content: decode(content, form))
    bar = Bar(total=len(pixels), desc="decoding", unit="image")
    with bar, ThreadPoolExecutor(cores()) as pool:
        for done, (count, failures) in enumerate(map_ahead(pool, work, _batches(contents))):
            broken.update(failures)
            bar.update(count)
            if done % (BLOCK // BATCH) == 0:
                release_pages(pixels)
    return broken


def _decode_batch(
    pixels: np.ndarray,
    decoded: Callable[[Content], np.ndarray],
    batch: list[tuple[int, Content]],
) -> tuple[int, dict[int, str]]:
    broken = {}
    for row, content in batch:
        try:
            pixels[row] = decoded(content)
        except BrokenImage as reason:
            broken[row] = str(reason)
    return len(batch), broken


def _batches(contents: Iterable[tuple[int, Content]]) -> Iterator[list[tuple[int, Content]]]:
    iterator = iter(contents)
    while batch := list(islice(iterator, BATCH)):
        yield batch
