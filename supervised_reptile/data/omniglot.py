"""Omniglot: 105x105 one-bit drawings, 20 of each of 1,623 characters in 50 alphabets.

Reads the alphabets' folder, a folder that holds `images_background/` and
`images_evaluation/`, or those two archives as they were downloaded.
"""

from __future__ import annotations

import contextlib
import random
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from supervised_reptile.data.dataset import ClassPool, Dataset, pool_of
from supervised_reptile.data.import_layout import Recipe, cached_layout
from supervised_reptile.data.layouts.decode_image import (
    DECODER,
    PixelForm,
    broken,
    left_out_reason,
    open_image,
)
from supervised_reptile.data.layouts.layout import (
    EMPTY,
    BrokenImage,
    Content,
    Item,
    Listing,
    passed_over,
)
from supervised_reptile.data.layouts.list_folder import (
    MOST_WRAPPERS,
    DiskFolder,
    Folder,
    FolderT,
    MemberFolder,
    name_of,
    walk,
    wrapped,
)
from supervised_reptile.data.normalize_drawings import legible
from supervised_reptile.data.store import ImageStore, is_store, open_store
from supervised_reptile.errors import UserError
from supervised_reptile.system.atomic_files import UNREADABLE

SIZE = 28  # pixels a side after resizing
TRAIN_CHARACTERS = 1200
TURNED = " turned by "  # between the names of a character and of its rotation, in degrees
PARTS = ("images_background", "images_evaluation")
CHARACTER = re.compile(r"character\d+", re.IGNORECASE)
NO_PNG = "image{s} of another format than PNG"
BESIDE_CHARACTERS = "image{s} in no character's folder"

HOW_TO_GET = (
    "run ./fetch_data.sh omniglot, or point --data-dir at the folder of alphabets "
    "(Alphabet/character01/*.png), at a folder with images_background/ and images_evaluation/ or "
    "their two zip archives, or at drawn alphabets (reptile data glyphs --out data/glyphs)"
)


# What Pillow and zipfile raise on damaged, encrypted or absurdly large files.
DAMAGE = (*UNREADABLE, Image.DecompressionBombError, BrokenImage)


@dataclass(frozen=True)
class Alphabets:
    """`<alphabet>/<character>/<drawing>.png`, in folders or in the two archives."""

    root: Path
    folders: tuple[Path, ...]  # of alphabets
    archives: tuple[Path, ...]
    kind = "alphabets of characters"

    @property
    def listed_quickly(self) -> bool:
        """Where no archive has to be opened for it."""
        return not self.archives

    def files(self) -> list[Path]:
        """The drawings' files, and the archives."""
        return [*self.archives, *(self.root / item.key for item in self._in_folders.items)]

    def listing(self) -> Listing:
        """UserError where there is no drawing, or an archive is damaged."""
        items = list(self._in_folders.items)
        left_out = {reason: list(keys) for reason, keys in self._in_folders.left_out.items()}
        for archive in self.archives:
            with _opened(archive) as members:
                _list_members(members.namelist(), archive.name, items, left_out)
        if not items:
            raise _nothing_in(self.root, left_out)
        return Listing(tuple(items), left_out=left_out)

    def contents(self, keys: Collection[str]) -> Iterator[tuple[str, Content]]:
        """Files' paths, and members of the archives, which are only read in place."""
        wanted = frozenset(keys)
        for item in self._in_folders.items:
            if item.key in wanted:
                yield item.key, self.root / item.key
        for archive in self.archives:
            with _opened(archive) as members:
                for name in members.namelist():
                    if (key := _member_key(archive.name, name)) in wanted:
                        yield key, _read(members, name)

    @cached_property
    def _in_folders(self) -> Listing:
        items: list[Item] = []
        left_out: dict[str, list[str]] = {}
        for folder in self.folders:
            key = folder.relative_to(self.root).as_posix()
            for alphabet in DiskFolder(folder, "" if key == "." else key).folders:
                _list_alphabet(alphabet, items, left_out)
        return Listing(tuple(items), left_out=left_out)


def load_omniglot(data_dir: Path, seed: int, val_classes: int = 0) -> Dataset:
    """`split_omniglot` of the drawings in `data_dir` (UserError as `open_omniglot_store`)."""
    return split_omniglot(open_omniglot_store(data_dir), seed, val_classes)


def split_omniglot(store: ImageStore, seed: int, val_classes: int = 0) -> Dataset:
    """The Omniglot split of `seed`: 1,200 training characters (each in four rotations), 423 test.

    `random.Random(seed)` shuffles the sorted characters (design: the original's split); where
    there are fewer than 1,623, the same share of them is for training. The last `val_classes`
    training characters become the validation split, unrotated as the test characters are.

    Raises:
      UserError: too few characters for `val_classes`.
    """
    order = list(range(len(store.names)))
    random.Random(seed).shuffle(order)
    train_count = train_share(len(order))
    if val_classes >= train_count:
        raise UserError(f"--val-classes {val_classes}: there are only {train_count} to train on")
    train = np.array(order[: train_count - val_classes], np.int64)
    pools = {"test": pool_of(store, np.array(order[train_count:], np.int64))}
    if val_classes:
        pools["val"] = pool_of(store, np.array(order[train_count - val_classes : train_count]))
    images, pools["train"] = _with_rotations(store, train)
    return Dataset(images, store.max_value, pools, store.checksum)


def is_turned(name: str) -> bool:
    """Whether a class is a character's rotation, as only data read here have them."""
    return TURNED in name


def train_share(characters: int) -> int:
    """How many of the characters are for training: 1,200 of the full set, else in proportion."""
    return min(TRAIN_CHARACTERS, round(characters * TRAIN_CHARACTERS / 1623))


def open_omniglot_store(data_dir: Path, skip_broken: bool = False) -> ImageStore:
    """All characters as a store, classes sorted by alphabet, then by character folder.

    Decoded once and kept in the user's cache. Class names read "Alphabet/character01".

    Raises:
      UserError: no data in `data_dir`, a store of other images, or a file that is not an image.
    """
    if is_store(data_dir):
        store = open_store(data_dir)
        if store.splits or store.image_shape != (SIZE, SIZE, 1):
            raise UserError(f"{data_dir}: a store, but not of Omniglot's drawings; {HOW_TO_GET}")
        return store
    recipe = Recipe(
        lambda _: PixelForm(SIZE, 1),
        f"omniglot-{SIZE}-{DECODER}",
        skip_broken,
        decode=_decode,
        max_value=1,
        resize=f"{SIZE}x{SIZE}, nearest",
        remedy="fetch or copy these files again",
    )
    return cached_layout(find_omniglot(data_dir), recipe)


def find_omniglot(data_dir: Path) -> Alphabets:
    """The drawings in `data_dir`, or in the only folder there, as unpacked archives have one.

    Raises:
      UserError: `data_dir` is missing or holds none.
    """
    if not data_dir.is_dir():
        raise UserError(f"{data_dir}: no such folder of Omniglot drawings; {HOW_TO_GET}")
    folder = DiskFolder(data_dir)
    for level in wrapped(folder, MOST_WRAPPERS):
        if found := _parts_in(level.as_root()):
            return found
    if top := _unwrapped(folder):
        return Alphabets(top.path, (top.path,), ())
    left_out: dict[str, list[str]] = {}
    for alphabet in DiskFolder(data_dir).folders:
        _list_alphabet(alphabet, [], left_out)
    raise _nothing_in(data_dir, left_out)


def holds_alphabets(path: Path) -> bool:
    """Whether `find_omniglot` finds what is called as in Omniglot."""
    with contextlib.suppress(UserError):
        found = find_omniglot(path)
        folders = [alphabet for path in found.folders for alphabet in DiskFolder(path).folders]
        inner = [folder for alphabet in folders for folder in alphabet.folders]
        characters = [name_of(folder) for folder in inner if any(map(_is_png, folder.files))]
        return bool(found.archives) or all(map(CHARACTER.fullmatch, characters))
    return False


def sorted_drawings(data_dir: Path) -> list[bytes]:
    """All drawings as they are on disk, PNGs in the order of the store's images.

    Raises:
      UserError: there are none.
    """
    layout = find_omniglot(data_dir)
    keys = [item.key for item in sorted(layout.listing().items, key=Item.order)]
    found = {key: _bytes_of(content) for key, content in layout.contents(keys)}
    return [found[key] for key in keys]


def decode_drawing(data: bytes) -> tuple[np.ndarray, tuple[str, ...]]:
    """PNG bytes to uint8 [28, 28, 1], 0 ink and 1 paper, resized as the original program did.

    Also returns what was changed in the levels. Raises whatever Pillow raises on bytes that are
    not an image, or BrokenImage.
    """
    with open_image(data) as image:
        # Nearest is Pillow's choice for one-bit images, and the one the paper's numbers rest on.
        drawing, changes = legible(image)
        small = drawing.convert("1").resize((SIZE, SIZE), Image.Resampling.NEAREST)
    return np.asarray(small, np.uint8)[:, :, None], changes


def _decode(content: Content, form: PixelForm) -> tuple[np.ndarray, tuple[str, ...]]:
    try:
        return decode_drawing(_bytes_of(content))
    except BrokenImage:
        raise
    except Exception as error:  # of whatever kind: see `decode`
        raise broken(content, error) from error


def _bytes_of(content: Content) -> bytes:
    if isinstance(content, BrokenImage):
        raise content
    assert isinstance(content, bytes | Path)
    return content if isinstance(content, bytes) else content.read_bytes()


def _parts_in(folder: DiskFolder) -> Alphabets | None:
    """The two parts of Omniglot in `folder`, as folders or archives."""
    inside = {name_of(inner): inner for inner in folder.folders}
    zips = {name.lower(): folder.path / name for name in folder.files}
    folders, archives = [], []
    for part in PARTS:
        # An empty folder hides no archive.
        if part in inside and (with_alphabets := _unwrapped(inside[part])):
            folders.append(with_alphabets.path)
        elif archive := zips.get(f"{part}.zip"):
            archives.append(archive)
    return Alphabets(folder.path, tuple(folders), tuple(archives)) if folders or archives else None


def _unwrapped(folder: FolderT) -> FolderT | None:
    """The folder of the alphabets: `folder` or one that it only wraps; None without drawings.

    The one with most drawings, because a loose image makes a wrapper look like it, too.
    """
    best = max(wrapped(folder, MOST_WRAPPERS), key=_count_drawings)
    return best if _count_drawings(best) else None


def _count_drawings(folder: Folder) -> int:
    return sum(
        _is_png(name)
        for alphabet in folder.folders
        for character in alphabet.folders
        for name in character.files
    )


def _list_alphabet(alphabet: Folder, items: list[Item], left_out: dict[str, list[str]]) -> None:
    """Add the drawings of an alphabet to `items`, and what else it holds to `left_out`."""
    for key in (f"{alphabet.key}/{name}" for name in alphabet.files):
        if not left_out_reason(key, lambda: b""):
            left_out.setdefault(BESIDE_CHARACTERS, []).append(key)
    for character in alphabet.folders:
        label, before = f"{name_of(alphabet)}/{name_of(character)}", len(items)
        for key in walk(character):
            if reason := _no_drawing(key):
                left_out.setdefault(reason, []).append(key)
            else:
                items.append(Item("", label, key.removeprefix(f"{character.key}/"), key))
        if len(items) == before:
            left_out.setdefault(EMPTY, []).append(character.key)


def _list_members(
    names: list[str], archive: str, items: list[Item], left_out: dict[str, list[str]]
) -> None:
    """The same of an archive's members, with the folders around the alphabets."""
    keys = [_member_key(archive, name) for name in names if not name.endswith(("/", "\\"))]
    whole, drawings = MemberFolder.of(keys), MemberFolder.of(filter(_is_png, keys))
    top = next(filter(None, map(_unwrapped, drawings.folders)), None)
    if top is None:
        return
    beside = [key for key in walk(drawings) if not key.startswith(f"{top.key}/")]
    if beside:
        left_out.setdefault(BESIDE_CHARACTERS, []).extend(beside)
    for alphabet in _at(whole, top.key).folders:
        _list_alphabet(alphabet, items, left_out)


def _at(folder: MemberFolder, key: str) -> MemberFolder:
    """The folder `key` below `folder`, which is the root."""
    for part in key.split("/"):
        (folder,) = (inner for inner in folder.folders if name_of(inner) == part)
    return folder


def _member_key(archive: str, name: str) -> str:
    """What stands for a member; some programs write its path with backslashes, or from "./"."""
    return str(PurePosixPath(archive, name.replace("\\", "/")))


def _no_drawing(name: str) -> str | None:
    """Why a file is no drawing; None where it is one."""
    return None if _is_png(name) else left_out_reason(name, lambda: b"") or NO_PNG


def _is_png(name: str) -> bool:
    return name.lower().endswith(".png")


def _nothing_in(folder: Path, left_out: Mapping[str, list[str]]) -> UserError:
    return UserError(f"{folder}: no Omniglot drawings in it{passed_over(left_out)}; {HOW_TO_GET}")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except UNREADABLE as error:
        raise UserError(f"{path}: not a readable zip archive ({error}); fetch it again") from error
    with archive:
        yield archive


def _read(archive: zipfile.ZipFile, name: str) -> bytes | BrokenImage:
    try:
        return archive.read(name)
    except UNREADABLE as error:
        return BrokenImage(f"it is damaged inside its archive ({error})")


def _with_rotations(store: ImageStore, train: np.ndarray) -> tuple[np.ndarray, ClassPool]:
    """All images, then the training classes turned by 90, 180 and 270 degrees as new classes."""
    upright = pool_of(store, train)
    rows = np.concatenate(
        [np.arange(s, s + n) for s, n in zip(upright.starts, upright.counts, strict=True)]
    )
    firsts = np.cumsum(upright.counts) - upright.counts  # of each class within `rows`
    images, starts, names = [np.asarray(store.images)], [upright.starts], list(upright.names)
    for quarter in (1, 2, 3):
        images.append(np.rot90(store.images[rows], quarter, axes=(1, 2)))
        starts.append(firsts + len(store.images) + (quarter - 1) * len(rows))
        names += [f"{name}{TURNED}{90 * quarter}" for name in upright.names]
    pool = ClassPool(np.concatenate(starts), np.tile(upright.counts, 4), tuple(names))
    return np.ascontiguousarray(np.concatenate(images)), pool
