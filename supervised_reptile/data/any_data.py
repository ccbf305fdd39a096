"""Opens whatever data set lies at a path."""

from __future__ import annotations

from pathlib import Path

from supervised_reptile.data.folder import open_undivided, undivided_layout
from supervised_reptile.data.items import Layout
from supervised_reptile.data.layouts import LAYOUTS, find_layout
from supervised_reptile.data.miniimagenet import open_miniimagenet
from supervised_reptile.data.official import miniimagenet_labels
from supervised_reptile.data.omniglot import PARTS, find_omniglot, open_omniglot_store
from supervised_reptile.data.split_layouts import ClassFolders, SplitArchives
from supervised_reptile.data.store import ImageStore, is_store, open_store
from supervised_reptile.errors import UserError


def open_any(path: Path) -> ImageStore:
    """The store at `path`, or that of the raw data there, imported without its broken images.

    Own images come without a division into splits, unless they are in ready folders.

    Raises:
      UserError: there is no data set, or none that can be opened.
    """
    if is_store(path):
        return open_store(path)
    if any((path / part).exists() or (path / f"{part}.zip").exists() for part in PARTS):
        return open_omniglot_store(path)
    layout = find_layout(path)
    if isinstance(layout, ClassFolders) and not _has_official_classes(layout):
        return open_undivided(path, skip_broken=True)
    if layout and not _is_lone_archive(layout):
        return open_miniimagenet(path, skip_broken=True)
    if path.is_dir() and undivided_layout(path).listing().items:
        return open_undivided(path, skip_broken=True)
    if _is_omniglot(path):
        return open_omniglot_store(path)
    if layout:
        return open_miniimagenet(path, skip_broken=True)
    what = "holds no data set that we know" if path.exists() else "does not exist"
    raise UserError(
        f"{path}: {what}; give a folder of class folders, Omniglot's alphabets or archives, "
        f"a store made by reptile data import, or Mini-ImageNet as {LAYOUTS}"
    )


def _has_official_classes(layout: ClassFolders) -> bool:
    return not miniimagenet_labels().isdisjoint(item.label for item in layout.listing().items)


def _is_lone_archive(layout: Layout) -> bool:
    """Whether it may be a stray file: what the folders beside it hold goes first."""
    return isinstance(layout, SplitArchives) and "" in layout.archives


def _is_omniglot(path: Path) -> bool:
    try:
        return bool(find_omniglot(path))
    except UserError:
        return False
