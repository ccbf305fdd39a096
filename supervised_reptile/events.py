"""Numbers for TensorBoard, which need not be installed to write for it."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import tensorflow as tf

_SCALAR = tf.compat.v1.SummaryMetadata(  # what tf.summary.scalar adds
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
)


class Events:
    """A folder with a subfolder for each curve."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, tf.summary.SummaryWriter] = {}

    def show(self, curve: str, tag: str, step: int, value: float) -> None:
        """One more point of a curve, in the chart `tag`."""
        if curve not in self._writers:
            self._writers[curve] = tf.summary.create_file_writer(str(self._folder / curve))
        with self._writers[curve].as_default():
            tf.summary.write(tag, tf.constant(value, tf.float32), step, _SCALAR)

    def clear(self) -> None:
        """Forget what earlier processes have written."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        """What cannot be written any more was reported when it was first tried."""
        for writer in self._writers.values():
            with contextlib.suppress(OSError, tf.errors.OpError):
                writer.close()
