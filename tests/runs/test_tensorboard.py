"""TensorBoard's files stay small in runs of any length."""

from __future__ import annotations

from pathlib import Path

import small_problem  # noqa: F401  starts TensorFlow as the programs do
import tensorflow as tf

from supervised_reptile.runs.tensorboard import Events, is_kept


def test_points_thin_out_with_their_number() -> None:
    kept = [number for number in range(160) if is_kept(number, 10)]
    assert kept == [
        *range(10), *range(10, 20, 2), *range(20, 40, 4), *range(40, 80, 8), *range(80, 160, 16)
    ]  # fmt: skip


def steps_shown(folder: Path) -> list[int]:
    (path,) = folder.iterdir()
    events = (tf.compat.v1.Event.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(path)))
    return [event.step for event in events if event.summary.value]


def test_curves_are_thinned_each_by_itself(tmp_path: Path) -> None:
    events = Events(tmp_path, all_kept=10)
    for step in range(14):
        events.show("many", "accuracy", step, 0.5)
        if step % 4 == 3:
            events.show("few", "accuracy", step, 0.5)
    events.close()
    assert steps_shown(tmp_path / "many") == [*range(10), 10, 12]
    assert steps_shown(tmp_path / "few") == [3, 7, 11]
