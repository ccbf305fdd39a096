"""Class folders, divided into train, val and test or not: as folders, or inside archives."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from supervised_reptile.data.layouts.archives import Members, open_archive
from supervised_reptile.data.layouts.csv_splits import HEADER
from supervised_reptile.data.layouts.decode_image import left_out_reason, may_be_image
from supervised_reptile.data.layouts.layout import (
    BESIDE_CLASSES,
    OUTSIDE_SPLITS,
    WITHOUT_CLASSES,
    Content,
    Item,
    Listing,
    by_split,
    require_training,
    split_of,
)
from supervised_reptile.data.layouts.list_folder import (
    DiskFolder,
    Folder,
    MemberFolder,
    below,
    name_of,
    walk,
)
from supervised_reptile.errors import UserError

# A folder of this name holds the images of whatever is around it; it is no class.
IMAGES_NAMES = frozenset({"images", "image", "imgs", "img", "jpegimages", "pictures", "photos"})


class Arrangement(NamedTuple):
    """Where the class folders are."""

    root: Folder  # the folder of the splits, or of the classes
    parts: Mapping[str, Folder]  # split -> the folder of its classes; "" -> that of all
    left_out: dict[str, list[str]]  # reason -> keys of images outside of class folders


def arrange(top: Folder, where: Path) -> Arrangement:
    """Find class folders in `top`: those of splits, or all in one folder, also in wrapper folders.

    Two splits make a division; a single one may be a class that is called "test". But a training
    split beside folders called like the others without classes in them (Tiny-ImageNet's val, a
    competition's test) leaves these out.

    Raises:
      UserError: splits without train, or two folders for the same split. `where` is named.
    """
    folder, left_out = top, {}
    while True:
        named = [f for f in folder.folders if split_of(name_of(f))]
        classes = _splits_with_classes(folder)
        if len(splits := {split_of(name) for name, _ in classes}) >= 2:
            found = by_split(classes, where)
            require_training(found, where, "class folders")
        elif splits == {"train"} and len(named) > 1:
            found = {"": classes[0][1]}
        elif (inner := _wrapped(folder)) is not None:
            _leave_out(left_out, BESIDE_CLASSES, folder)
            folder = inner.as_root()
            continue
        else:
            _refuse_splits_without_classes(folder, where)
            return Arrangement(folder, {"": folder}, left_out)
        _leave_out_others(folder, found, left_out)
        return Arrangement(folder, found, left_out)


@dataclass(frozen=True)
class ClassFolders:
    """`<class>/.../<image>` below folders, each of them a split or, as "", undivided."""

    root: Path
    parts: Mapping[str, Folder]  # split -> the folder of its class folders, below `root`
    outside: Mapping[str, list[str]] = field(default_factory=dict)  # see Arrangement.left_out
    listed_quickly = True

    @classmethod
    def at(cls, path: Path) -> ClassFolders:
        """Those in the folder `path`; UserError as `arrange`."""
        root, parts, left_out = arrange(DiskFolder(path), path)
        assert isinstance(root, DiskFolder)
        return cls(root.path, parts, left_out)

    @classmethod
    def undivided(cls, path: Path) -> ClassFolders:
        """Those in the folder `path`, perhaps in outer folders.

        Raises:
          UserError: these are splits, with class folders of their own.
        """
        folder: Folder = DiskFolder(path)
        left_out: dict[str, list[str]] = {}
        while (inner := _wrapped(folder)) is not None:
            _leave_out(left_out, BESIDE_CLASSES, folder)
            folder = inner.as_root()
        assert isinstance(folder, DiskFolder)
        names = [name for name, _ in _splits_with_classes(folder)]
        if len(set(map(split_of, names))) > 1:
            raise UserError(
                f"{folder.path}: its folders {', '.join(names)} hold class folders of their own; "
                "name one of these"
            )
        return cls(folder.path, {"": folder}, left_out)

    @property
    def kind(self) -> str:
        """In words."""
        return "class folders" if "" in self.parts else "train/val/test folders"

    def files(self) -> list[Path]:
        """Every image's file, and every class folder without one."""
        keys = [item.key for item in self._listing.items]
        return [self.root / key for key in (*keys, *self._listing.empty)]

    def listing(self) -> Listing:
        """Looks at names only; UserError where a folder cannot be read."""
        return self._listing

    def contents(self, keys: Collection[str]) -> Iterator[tuple[str, Content]]:
        """The files' paths: decoding opens them."""
        return ((key, self.root / key) for key in sorted(keys))

    @cached_property
    def _listing(self) -> Listing:
        return list_classes(self.parts, self.outside, lambda key: self.root / key)


@dataclass(frozen=True)
class SplitArchives:
    """Class folders in one archive, divided or not, or in one archive for each split."""

    root: Path
    archives: Mapping[str, Path]  # split -> archive; "" -> the archive that holds them all
    listed_quickly = False

    @property
    def kind(self) -> str:
        """In words."""
        return "an archive of class folders" if "" in self.archives else "split archives"

    def files(self) -> list[Path]:
        """The archives."""
        return list(self.archives.values())

    def listing(self) -> Listing:
        """Reads the archives' tables of members; UserError where one is damaged or hostile."""
        return self._listing

    def contents(self, keys: Collection[str]) -> Iterator[tuple[str, Content]]:
        """Each archive read once from front to back."""
        wanted = frozenset(keys)
        for archive in self.archives.values():
            with open_archive(archive) as members:
                for path, read in _by_path(members).items():
                    if (key := f"{archive.name}:{path}") in wanted:
                        yield key, read()

    @cached_property
    def _listing(self) -> Listing:
        items: list[Item] = []
        left_out: dict[str, list[str]] = {}
        empty: list[str] = []
        for split, archive in self.archives.items():
            with open_archive(archive) as members:
                found = _list_archive(split, archive, _by_path(members))
            prefix = f"{archive.name}:"
            items += [Item(i.split, i.label, i.file, prefix + i.key) for i in found.items]
            empty += [prefix + key for key in found.empty]
            for reason, keys in found.left_out.items():
                left_out.setdefault(reason, []).extend(prefix + key for key in keys)
        return Listing(tuple(items), tuple(empty), left_out)


def list_classes(
    parts: Mapping[str, Folder],
    outside: Mapping[str, list[str]],
    read: Callable[[str], Content],
) -> Listing:
    """Every image in the class folders of `parts`; `read(key)` gives its content."""
    items: list[Item] = []
    empty: list[str] = []
    left_out = {reason: list(keys) for reason, keys in outside.items()}
    for split, folder in parts.items():
        _leave_out(left_out, BESIDE_CLASSES, folder)
        for class_folder in folder.folders:
            keys = _images_below(class_folder, left_out, read)
            start = len(class_folder.key) + 1
            items += [Item(split, name_of(class_folder), key[start:], key) for key in keys]
            empty += [] if keys else [class_folder.key]
    return Listing(tuple(items), tuple(empty), left_out)


def images_below(path: Path) -> tuple[list[Path], Mapping[str, list[str]]]:
    """The images in the folder `path` and below it, and what was left out: reason -> files."""
    left_out: dict[str, list[str]] = {}
    keys = _images_below(DiskFolder(path), left_out, lambda key: path / key)
    return [path / key for key in keys], left_out


def _images_below(
    folder: Folder, left_out: dict[str, list[str]], read: Callable[[str], Content]
) -> list[str]:
    """The keys of the images below `folder`; what else there is goes to `left_out`."""
    images = []
    for key in walk(folder):
        if reason := left_out_reason(key, lambda key=key: read(key)):
            left_out.setdefault(reason, []).append(key)
        else:
            images.append(key)
    return images


def _list_archive(split: str, archive: Path, members: Members) -> Listing:
    """The listing of one archive; keys are paths in it."""
    top = MemberFolder.of(members)
    root, parts, left_out = arrange(top, archive)
    if not split and "" in parts:
        _refuse_csvs(archive, members, walk(top))
    if split:  # as its name says: what is inside is not divided again
        around = parts.get("") or parts.get(split) or root
        inner = _class_set(around, split)
        if inner is None:
            reason = WITHOUT_CLASSES.replace("FOLDER", archive.name)
            left_out.setdefault(reason, []).extend(filter(may_be_image, walk(around)))
        parts = {split: inner} if inner else {}
    return list_classes(parts, left_out, lambda key: members[key]())


def _refuse_csvs(archive: Path, members: Members, keys: Iterable[str]) -> None:
    """Raises UserError where CSVs divide the images: they are read from folders alone."""
    csvs = [
        key for key in keys if key.lower().endswith(".csv") and split_of(PurePosixPath(key).stem)
    ]
    contents = (members[key]() for key in csvs)
    if any(
        isinstance(c, bytes) and c.lstrip(b"\xef\xbb\xbf").startswith(HEADER.encode())
        for c in contents
    ):
        names = ", ".join(csvs)
        raise UserError(f"{archive}: {names} divide its images; unpack it and give the folder")


def _by_path(members: Members) -> Members:
    """The members by their paths with "/" and without "./", as some programs write them."""
    return {str(PurePosixPath(name.replace("\\", "/"))): read for name, read in members.items()}


def _splits_with_classes(folder: Folder) -> list[tuple[str, Folder]]:
    """The folders in `folder` that are called like splits: (name, the folder of its classes)."""
    named = [(name_of(f), f) for f in folder.folders if split_of(name_of(f))]
    return [(name, inner) for name, f in named if (inner := _class_set(f, split_of(name)))]


def _class_set(folder: Folder, split: str | None) -> Folder | None:
    """The folder that holds the class folders of a split, perhaps below `folder`; None if none."""
    while len(inner := _with_images(folder)) == 1:
        (only,) = inner
        if not _is_images_name(only) and split_of(name_of(only)) != split:
            break
        if not only.folders:
            return None
        folder = only
    return folder if inner or (folder.folders and not _images_in(folder)) else None


def _wrapped(folder: Folder) -> Folder | None:
    """The only folder with images in `folder`, where it is no class but holds classes."""
    if len(inner := _with_images(folder)) != 1:
        return None
    (only,) = inner
    deeper = [f for f in _with_images(only) if _with_images(f) or not _is_images_name(f)]
    holds_classes = len(deeper) > 1 or any(_with_images(f) for f in deeper)
    return only if holds_classes or (deeper and not _images_in(only)) else None


def _refuse_splits_without_classes(folder: Folder, where: Path) -> None:
    """Raises UserError for train/images/*.jpg and the like, which are no classes."""
    inner = _with_images(folder)
    if len(inner) > 1 and all(split_of(name_of(f)) and not _images_in(f) for f in inner):
        names = " and ".join(map(name_of, inner))
        raise UserError(f"{where}: {names} hold no class folders; put the images of a class in one")


def _leave_out_others(
    folder: Folder, found: Mapping[str, Folder], left_out: dict[str, list[str]]
) -> None:
    """Note the images in and below `folder` that are in none of the folders `found`."""
    _leave_out(left_out, OUTSIDE_SPLITS, folder)
    for other in _with_images(folder):
        if any(f"{part.key}/".startswith(f"{other.key}/") for part in found.values()):
            continue
        is_split = split_of(name_of(other))
        reason = WITHOUT_CLASSES.replace("FOLDER", name_of(other)) if is_split else OUTSIDE_SPLITS
        left_out.setdefault(reason, []).extend(filter(may_be_image, walk(other)))


def _leave_out(left_out: dict[str, list[str]], reason: str, folder: Folder) -> None:
    """Note the images directly in `folder`."""
    if keys := [below(folder, name) for name in _images_in(folder)]:
        left_out.setdefault(reason, []).extend(keys)


def _images_in(folder: Folder) -> list[str]:
    return [name for name in folder.files if may_be_image(name)]


def _with_images(folder: Folder) -> list[Folder]:
    return [inner for inner in folder.folders if any(map(may_be_image, walk(inner)))]


def _is_images_name(folder: Folder) -> bool:
    return name_of(folder).lower() in IMAGES_NAMES
