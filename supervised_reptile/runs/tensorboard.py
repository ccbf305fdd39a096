"""Numbers for TensorBoard, which need not be installed to write for it."""

from __future__ import annotations

import collections
import contextlib
import shutil
from pathlib import Path

import tensorflow as tf

_SCALAR = tf.compat.v1.SummaryMetadata(  # what tf.summary.scalar adds
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
)


# Points of a curve that are all kept. Of twice as many, every second one of the later half is, and
# so on: files grow with the logarithm of a run's length. TensorBoard draws a thousand points.
ALL_KEPT = 10_000


def is_kept(number: int, all_kept: int) -> bool:
    """Whether a curve's point is written, by how many came before it."""
    return number % (1 << (number // all_kept).bit_length()) == 0


class Events:
    """A folder with a subfolder for each curve."""

    def __init__(self, folder: Path, all_kept: int = ALL_KEPT) -> None:
        self._folder = folder
        self._all_kept = all_kept
        self._writers: dict[str, tf.summary.SummaryWriter] = {}
        self._points: collections.Counter[tuple[str, str]] = collections.Counter()

    def show(self, curve: str, tag: str, step: int, value: float) -> None:
        """One more point of a curve, in the chart `tag`."""
        number = self._points[curve, tag]
        self._points[curve, tag] += 1
        if not is_kept(number, self._all_kept):
            return
        if curve not in self._writers:
            self._writers[curve] = tf.summary.create_file_writer(str(self._folder / curve))
        with self._writers[curve].as_default():
            tf.summary.write(tag, tf.constant(value, tf.float32), step, _SCALAR)

    def clear(self) -> None:
        """Forget what earlier processes have written."""
        self._points.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        """What cannot be written any more was reported when it was first tried."""
        for writer in self._writers.values():
            with contextlib.suppress(OSError, tf.errors.OpError):
                writer.close()
