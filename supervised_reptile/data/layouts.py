"""Recognises which layout of a data set a path holds, from names alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from supervised_reptile.data.archives import archive_stem
from supervised_reptile.data.csv_layouts import CsvImages, IlsvrcTar, has_csvs
from supervised_reptile.data.folders import files_in, folders_in
from supervised_reptile.data.items import SPLIT_OF, Layout, require_splits
from supervised_reptile.data.pickle_layout import PICKLE_NAME, CachePickles, cache_pickles
from supervised_reptile.data.split_layouts import (
    ClassFolders,
    SplitArchives,
    split_folders,
)
from supervised_reptile.errors import UserError

ILSVRC_TAR = "ILSVRC2012_img_train.tar"
LAYOUTS = (
    "folders train/, val/ and test/ of class folders; one zip or tar of these, or one for each "
    "(train.zip, val.zip, test.zip); mini-imagenet-cache-train.pkl, -val.pkl and -test.pkl; "
    f"train.csv, val.csv and test.csv beside images/ or beside {ILSVRC_TAR}"
)


def find_layout(path: Path) -> Layout | None:
    """The layout with its own split into train, val and test that `path` holds, or None.

    Raises:
      UserError: it holds one, but not all of it.
    """
    if path.is_file():
        return _pickles_at(path) or _ilsvrc_at(path) or _archive_at(path)
    if path.is_dir():
        return (
            _pickles_in(path)
            or _ilsvrc_at(path / ILSVRC_TAR)
            or _csv_images_in(path)
            or ready_split_in(path)
            or _archives_in(path)
        )
    return None


def ready_split_in(folder: Path) -> ClassFolders | None:
    """Folders train, val and test, in `folder` or in the only folder there."""
    inside = folders_in(folder)
    for root in [folder, *inside] if len(inside) == 1 else [folder]:
        found = {name: part for name, part in split_folders(root).items() if folders_in(part)}
        if len(found) >= 2:  # a single one may be a class that is called "test"
            require_splits(found, root, "class folders")
            return ClassFolders(root, found)
    return None


def _pickles_at(path: Path) -> Layout | None:
    return _pickles_in(path.parent) if PICKLE_NAME.fullmatch(path.name) else None


def _pickles_in(folder: Path) -> Layout | None:
    if not (found := cache_pickles(folder)):
        return None
    require_splits(found, folder, "mini-imagenet-cache pickles")
    return CachePickles(folder, found)


def _ilsvrc_at(tar: Path) -> Layout | None:
    if tar.name != ILSVRC_TAR or not tar.is_file():
        return None
    if not has_csvs(tar.parent):
        raise UserError(
            f"{tar}: needs Ravi and Larochelle's train.csv, val.csv and test.csv beside it, "
            "which say which of its images are Mini-ImageNet's"
        )
    return IlsvrcTar(tar.parent, tar)


def _csv_images_in(folder: Path) -> Layout | None:
    if not has_csvs(folder):
        return None
    archives = [path for stem, path in _archives_by_stem(folder).items() if stem == "images"]
    places = [path for path in [folder / "images"] if path.is_dir()] + archives
    return CsvImages(folder, places[0]) if places else None


def _archive_at(path: Path) -> Layout | None:
    return SplitArchives(path, {"": path}) if archive_stem(path) is not None else None


def _archives_in(folder: Path) -> Layout | None:
    archives = _archives_by_stem(folder)
    found = {SPLIT_OF[stem]: path for stem, path in archives.items() if stem in SPLIT_OF}
    if found:
        require_splits(found, folder, "archives")
        return SplitArchives(folder, found)
    return _archive_at(*archives.values()) if len(archives) == 1 else None


def _archives_by_stem(folder: Path) -> Mapping[str, Path]:
    return {stem.lower(): path for path in files_in(folder) if (stem := archive_stem(path))}
