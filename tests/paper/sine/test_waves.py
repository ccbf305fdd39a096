"""Tasks of sine waves: what is drawn, and that it depends on (seed, step, task) alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from supervised_reptile.data.episodes import Purpose, Stream, Tasks, TaskShape, foml_shape
from supervised_reptile.paper.sine.waves import Waves, draw_waves

WAVES = Waves()
TRAINING = TaskShape(way=1, shots=50, steps=5, batch=10)
NEW = TaskShape(way=1, shots=10, steps=3, batch=10)
STREAM = Stream(3, Purpose.TRAIN)


def drawn(shape: TaskShape, steps: range, tasks: range = range(1), waves: Waves = WAVES) -> Tasks:
    return draw_waves(waves, shape, STREAM, steps, tasks)


def amplitudes_and_phases(tasks: Tasks, waves: Waves = WAVES) -> np.ndarray:
    """By least squares in sin(x) and cos(x), float64 [tasks, 2]; phases from 0 to 2 pi."""
    x = waves.inputs.astype(np.float64)[:, 0]
    basis = np.stack([np.sin(x), np.cos(x)], axis=1)
    values = tasks.query_labels[..., 0].astype(np.float64)
    (a, b), residual, *_ = np.linalg.lstsq(basis, values.T, rcond=None)
    assert residual.max() < 1e-10  # nothing but a sine
    return np.stack([np.hypot(a, b), np.arctan2(b, a) % (2 * np.pi)], axis=1)


def test_points_are_evenly_spaced() -> None:
    assert WAVES.inputs.shape == (50, 1)
    assert WAVES.inputs[0] == -5
    assert WAVES.inputs[-1] == 5
    np.testing.assert_allclose(np.diff(WAVES.inputs[:, 0]), 10 / 49, rtol=1e-5)


def test_amplitudes_and_phases_are_uniform_and_independent() -> None:
    amplitude, phase = amplitudes_and_phases(drawn(NEW, range(4000))).T
    assert stats.kstest(amplitude, stats.uniform(0.1, 4.9).cdf).pvalue > 0.01
    assert stats.kstest(phase, stats.uniform(0, 2 * np.pi).cdf).pvalue > 0.01
    assert abs(np.corrcoef(amplitude, phase)[0, 1]) < 0.05


def test_other_ranges() -> None:
    waves = Waves(points=40, x=(0.0, 7.0), amplitude=(2.0, 2.5), phase=(0.0, 1.0))
    found = amplitudes_and_phases(drawn(NEW, range(300), waves=waves), waves)
    for values, (low, high) in zip(found.T, ((2, 2.5), (0, 1)), strict=True):
        assert low <= values.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < values.max() <= high
    assert waves.inputs[-1] == 7


def test_a_training_task_passes_over_all_points() -> None:
    tasks = drawn(TRAINING, range(20))
    assert tasks.rows.shape == (20, 5, 10)
    assert tasks.tail_rows.shape == (20, 0)
    for rows in tasks.rows:
        assert sorted(rows.ravel()) == list(range(50))
    assert len({tuple(rows.ravel()) for rows in tasks.rows}) == 20


@pytest.mark.parametrize("shape", [TRAINING, NEW, foml_shape(TRAINING, None)])
def test_labels_are_the_waves_values_at_the_points(shape: TaskShape) -> None:
    tasks = drawn(shape, range(6), range(2))
    assert tasks.labels.dtype == np.float32
    for task, curve in enumerate(tasks.query_labels[..., 0]):
        for part in ("", "tail_", "support_"):
            rows, labels = (getattr(tasks, part + name)[task] for name in ("rows", "labels"))
            np.testing.assert_array_equal(labels, curve[rows])
    np.testing.assert_array_equal(tasks.query_rows[0, :, 0], np.arange(50))


def test_a_new_wave_is_seen_at_different_points_and_only_there() -> None:
    tasks = drawn(NEW, range(200))
    for support, batches in zip(tasks.support_rows, tasks.rows, strict=True):
        assert len(set(support)) == 10
        for batch in batches:
            assert sorted(batch) == sorted(support)
    assert len({tuple(sorted(rows)) for rows in tasks.support_rows}) == 200
    assert np.bincount(tasks.support_rows.ravel(), minlength=50).min() > 10


def test_the_tail_shares_no_point_with_the_batches_before_it() -> None:
    cut, own = (drawn(foml_shape(TRAINING, tail), range(5)) for tail in (None, 20))
    assert cut.rows.shape == own.rows.shape == (5, 4, 10)
    assert own.tail_rows.shape == (5, 20)
    for tasks in (cut, own):
        for rows, tail in zip(tasks.rows, tasks.tail_rows, strict=True):
            assert not set(rows.ravel()) & set(tail)


def test_a_task_depends_on_seed_step_and_task_alone() -> None:
    whole = drawn(TRAINING, range(10, 14), range(3))
    for step, task in ((10, 0), (12, 2)):
        alone = drawn(TRAINING, range(step, step + 1), range(task, task + 1))
        for one, all_of_them in zip(alone, whole, strict=True):
            np.testing.assert_array_equal(one[0], all_of_them[(step - 10) * 3 + task])


@pytest.mark.parametrize("stream", [Stream(4, Purpose.TRAIN), Stream(3, Purpose.EVALUATE)])
def test_other_streams_have_other_waves(stream: Stream) -> None:
    one, other = drawn(NEW, range(5)), draw_waves(WAVES, NEW, stream, range(5), range(1))
    assert not np.intersect1d(one.query_labels, other.query_labels).size
