"""Mini-ImageNet: 64 + 16 + 20 classes of 600 colour images, 84x84 (Ravi and Larochelle 2017)."""

from __future__ import annotations

from pathlib import Path

from supervised_reptile.data.import_layout import Recipe, cached_layout, write_layout
from supervised_reptile.data.layouts.decode_image import PixelForm
from supervised_reptile.data.layouts.find_layout import LAYOUTS, find_layout
from supervised_reptile.data.layouts.layout import Layout, require_training
from supervised_reptile.data.store import ImageStore, is_store, open_store
from supervised_reptile.errors import UserError

SIZE = 84  # pixels a side


def open_miniimagenet(path: Path, image_size: int = SIZE, skip_broken: bool = False) -> ImageStore:
    """The store at `path`, or the store of the layout there, imported on first use.

    Imported stores are kept in the user's cache and found again by the names, sizes and
    times of the files they were made from. `store.splits` has train, val and test.

    Raises:
      UserError: nothing to import there, broken images (unless `skip_broken`), a store
        of another image size or without splits.
    """
    if not is_store(path):
        return cached_layout(_layout_at(path), _recipe(image_size, skip_broken))
    store = open_store(path)
    if store.image_shape != (image_size, image_size, 3):
        raise UserError(
            f"{path}: its images are {'x'.join(map(str, store.image_shape))}, not "
            f"{image_size}x{image_size}x3; import them again with --image-size {image_size}"
        )
    require_training(store.splits, path, "classes")
    return store


def import_miniimagenet(
    path: Path, out: Path, image_size: int = SIZE, skip_broken: bool = False
) -> ImageStore:
    """Import the layout at `path` into a new store `out` (an older store there is replaced).

    Raises:
      UserError: as `open_miniimagenet`; also where `out` holds other things than a store.
    """
    if is_store(path):
        raise UserError(f"{path}: already a store; use it as it is, with --data-dir")
    write_layout(out, _layout_at(path), _recipe(image_size, skip_broken))
    return open_store(out)


def _recipe(image_size: int, skip_broken: bool) -> Recipe:
    form = PixelForm(image_size, 3)
    return Recipe(lambda _: form, f"miniimagenet-{image_size}", skip_broken, divided=True)


def _layout_at(path: Path) -> Layout:
    if layout := find_layout(path):
        return layout
    what = "holds none of the layouts that can be imported" if path.exists() else "does not exist"
    raise UserError(
        f"{path}: {what}; run ./fetch_data.sh miniimagenet, or import what you have with "
        f"`reptile data import PATH --out data/miniimagenet`, where PATH holds {LAYOUTS}"
    )
