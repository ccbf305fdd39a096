"""The complete Mini-ImageNet, where it is at hand."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from supervised_reptile.data.duplicates import find_duplicates
from supervised_reptile.data.miniimagenet import import_miniimagenet, open_miniimagenet
from supervised_reptile.data.official_sets import miniimagenet_classes
from supervised_reptile.data.store import ImageStore
from supervised_reptile.data.verify import verify


@pytest.fixture(scope="session")
def real_miniimagenet() -> Path:
    """The folder of train.zip, val.zip and test.zip."""
    root = os.environ.get("REPTILE_DATA")
    if not root or not (Path(root) / "miniimagenet").is_dir():
        pytest.skip("REPTILE_DATA names no folder that holds miniimagenet/")
    return Path(root) / "miniimagenet"


@pytest.fixture(scope="session")
def real_store(real_miniimagenet: Path, tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    """Imported once for all tests."""
    return import_miniimagenet(real_miniimagenet, tmp_path_factory.mktemp("mini") / "store")


def test_it_is_complete(real_store: ImageStore) -> None:
    assert real_store.images.shape == (60_000, 84, 84, 3)
    assert set(real_store.counts.tolist()) == {600}
    for split, classes in miniimagenet_classes().items():
        assert [real_store.names[c] for c in real_store.splits[split]] == sorted(classes)
    report = verify(real_store.folder)
    assert report.verdict == "complete: 100 classes of 600 images, as published"


def test_its_eight_duplicates_are_found(real_store: ImageStore) -> None:
    duplicates = find_duplicates(real_store)
    assert duplicates.counts == {("train", "train"): 2, ("train", "val"): 6}
    assert len(duplicates.names) == 8


def test_its_pixels_are_pillows(real_store: ImageStore, real_miniimagenet: Path) -> None:
    with zipfile.ZipFile(real_miniimagenet / "val.zip") as archive:
        for row in (38_400, 40_000, 47_999):
            label = real_store.names[row // 600]
            content = archive.read(f"val/{label}/{real_store.files[row]}")
            with Image.open(io.BytesIO(content)) as image:
                assert np.array_equal(real_store.images[row], np.asarray(image))


def test_files_are_sorted_within_their_class(real_store: ImageStore) -> None:
    for start in range(0, 60_000, 600):
        names = real_store.files[start : start + 600]
        assert list(names) == sorted(names)


def test_opening_decodes_nothing(real_store: ImageStore, monkeypatch) -> None:
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("decoded again"))
    store = open_miniimagenet(real_store.folder)
    assert isinstance(store.images, np.memmap)
    assert store.checksum == real_store.checksum
