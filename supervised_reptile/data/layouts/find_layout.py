"""Recognises which layout of a data set a path holds, from names alone."""

from __future__ import annotations

from pathlib import Path

from supervised_reptile.data.layouts.archives import archive_stem
from supervised_reptile.data.layouts.cache_pickles import SplitPickles, split_pickles
from supervised_reptile.data.layouts.csv_splits import (
    CsvImages,
    IlsvrcTar,
    divides_classes,
    split_csvs,
)
from supervised_reptile.data.layouts.layout import Layout, by_split, require_training
from supervised_reptile.data.layouts.list_folder import (
    MOST_WRAPPERS,
    DiskFolder,
    files_in,
    name_of,
    wrapped,
)
from supervised_reptile.data.layouts.split_folders import ClassFolders, SplitArchives
from supervised_reptile.errors import UserError

ILSVRC_TAR = "ILSVRC2012_img_train.tar"
LAYOUTS = (
    "folders train/, val/ and test/ of class folders; one zip or tar of these, or one for each "
    "(train.zip, val.zip, test.zip); mini-imagenet-cache-train.pkl, -val.pkl and -test.pkl; "
    "miniImageNet_category_split_train_phase_train.pickle, _val.pickle and _test.pickle; "
    f"train.csv, val.csv and test.csv beside images/ or beside {ILSVRC_TAR}"
)


def find_layout(path: Path) -> Layout | None:
    """The layout that `path` holds, with its own splits or without, or None.

    Raises:
      UserError: it holds one, but not all of it.
    """
    if path.is_file():
        return _pickles_at(path) or _ilsvrc_at(path) or _archive_at(path)
    if not path.is_dir():
        return None
    levels = [folder.path for folder in wrapped(DiskFolder(path), MOST_WRAPPERS)]
    files = (_pickles_in(p) or _ilsvrc_at(p / ILSVRC_TAR) or _csv_images_in(p) for p in levels)
    if layout := next(filter(None, files), None):
        return layout
    folders = ClassFolders.at(path)
    if "" not in folders.parts:
        return folders
    if layout := next(filter(None, map(_csv_classes_in, levels)), None):
        return layout
    archives = next(filter(None, map(_archives_in, levels)), None)
    if isinstance(archives, SplitArchives) and "" not in archives.archives:
        return archives
    # A lone archive may be a stray file: what the folders beside it hold goes first.
    listing = folders.listing()
    holds_any = listing.items or (not archives and (listing.empty or listing.left_out))
    return folders if holds_any else archives


def _pickles_at(path: Path) -> Layout | None:
    return _pickles_in(path.parent) if split_pickles([path]) else None


def _pickles_in(folder: Path) -> Layout | None:
    if not (named := split_pickles(files_in(folder))):
        return None
    found = by_split(named, folder)
    require_training(found, folder, "Mini-ImageNet's pickles")
    return SplitPickles(folder, found)


def _ilsvrc_at(tar: Path) -> Layout | None:
    if tar.name != ILSVRC_TAR or not tar.is_file():
        return None
    if not (csvs := split_csvs(tar.parent)):
        raise UserError(
            f"{tar}: needs Ravi and Larochelle's train.csv, val.csv and test.csv beside it, "
            "which say which of its images are Mini-ImageNet's"
        )
    return IlsvrcTar(tar.parent, csvs, tar)


def _csv_images_in(folder: Path) -> Layout | None:
    archives = [path for path in files_in(folder) if (archive_stem(path) or "").lower() == "images"]
    folders = [f.path for f in DiskFolder(folder).folders if name_of(f).lower() == "images"]
    images = folders + archives
    csvs = split_csvs(folder) if images else {}
    return CsvImages(folder, csvs, images[0]) if csvs else None


def _csv_classes_in(folder: Path) -> Layout | None:
    """CSVs that divide the classes, beside the images or their folders: no `images/` around."""
    csvs = split_csvs(folder)
    return CsvImages(folder, csvs, folder) if csvs and divides_classes(csvs) else None


def _archive_at(path: Path) -> Layout | None:
    return SplitArchives(path, {"": path}) if archive_stem(path) is not None else None


def _archives_in(folder: Path) -> Layout | None:
    named = [(stem, path) for path in files_in(folder) if (stem := archive_stem(path)) is not None]
    found = by_split(named, folder)
    if len(found) > 1:
        require_training(found, folder, "archives")
        return SplitArchives(folder, found)
    return _archive_at(named[0][1]) if len(named) == 1 else None
