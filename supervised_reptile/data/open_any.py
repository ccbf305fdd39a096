"""Opens whatever data set lies at a path."""

from __future__ import annotations

from pathlib import Path

from supervised_reptile.data.layouts.find_layout import LAYOUTS, find_layout
from supervised_reptile.data.layouts.layout import Layout
from supervised_reptile.data.layouts.split_folders import ClassFolders, SplitArchives
from supervised_reptile.data.miniimagenet import open_miniimagenet
from supervised_reptile.data.official_sets import miniimagenet_labels
from supervised_reptile.data.omniglot import holds_alphabets, open_omniglot_store
from supervised_reptile.data.own_images import open_undivided
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
    if holds_alphabets(path):
        return open_omniglot_store(path, skip_broken=True)
    if layout := find_layout(path):
        if _is_miniimagenet(layout):
            return open_miniimagenet(path, skip_broken=True)
        return open_undivided(path, skip_broken=True)
    what = "holds no known data set" if path.exists() else "does not exist"
    raise UserError(
        f"{path}: {what}; give a folder of class folders, Omniglot's alphabets or archives, "
        f"a store made by reptile data import, or Mini-ImageNet as {LAYOUTS}"
    )


def _is_miniimagenet(layout: Layout) -> bool:
    """Divided folders and archives by their classes; the other layouts are Mini-ImageNet's own."""
    if not isinstance(layout, ClassFolders | SplitArchives):
        return True
    items = layout.listing().items
    divided = any(item.split for item in items)
    return divided and not miniimagenet_labels().isdisjoint(item.label for item in items)
