"""Second moments of patches: exact, and remembered."""

from __future__ import annotations

import numpy as np
import pytest
import small_problem  # noqa: F401  (starts TensorFlow as the programs do)

import supervised_reptile.networks.patch_moments as moments_module
from supervised_reptile.networks.layers import image_patches
from supervised_reptile.networks.patch_moments import Moments, patch_moments


def random_images(count: int, size: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *size)).astype(np.uint8)


def exact(images: np.ndarray) -> np.ndarray:
    patches = image_patches(images.astype(np.int64), 1)
    return np.einsum("npi,npj->nij", patches, patches)


@pytest.mark.parametrize("size", [(84, 84, 3), (7, 5, 1), (40, 30, 2)])
def test_moments_are_exact(size: tuple[int, int, int]) -> None:
    images = random_images(3, size)
    images[2] = 255  # the largest sums
    np.testing.assert_array_equal(patch_moments(images), exact(images).astype(np.float32))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images were computed at a time."""
    seen = []

    def watched(images: np.ndarray) -> np.ndarray:
        seen.append(len(images))
        return patch_moments(images)

    monkeypatch.setattr(moments_module, "patch_moments", watched)
    return seen


def test_images_are_computed_once(calls: list[int]) -> None:
    images = random_images(50, (6, 6, 1))
    remembered = Moments(50, 1)
    for rows in ([3, 4, 40], [4, 3, 5], [3], list(range(50))):
        result = remembered(images[rows], np.array(rows))
        np.testing.assert_array_equal(result, exact(images[rows]))
    assert calls == [3, 1, *[8] * 5, 6]


def test_very_large_sets_do_without() -> None:
    assert Moments.fit(80_000, channels=3)
    assert not Moments.fit(1_000_000, channels=3)
    assert Moments.fit(600_000, channels=1)
