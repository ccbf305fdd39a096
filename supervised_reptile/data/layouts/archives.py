"""Zip and tar archives read in place.

Nothing is ever extracted to disk. Even so, an archive with a member that would leave
the folder it is extracted to, or that is not a plain file, was not made by a friend:
it is refused by the member's name.
"""

from __future__ import annotations

import contextlib
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path, PurePosixPath

from supervised_reptile.data.layouts.layout import BrokenImage, foreign_content
from supervised_reptile.errors import UserError
from supervised_reptile.system.atomic_files import UNREADABLE

ARCHIVE_ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
MAX_MEMBER_BYTES = 1 << 28  # no image is larger: a declared size beyond it is an attack

# What opening and reading raise, beside OSError. ValueError: a name that is not the text it is said
# to be; NotImplementedError: a version of the format that is yet to come.
DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    EOFError,
    NotImplementedError,
    ValueError,
    lzma.LZMAError,
    zlib.error,
)

# member name -> its bytes, or what is wrong where only this member is damaged
Members = dict[str, Callable[[], bytes | BrokenImage]]


def archive_stem(path: Path) -> str | None:
    """The file's name without its archive ending; None if it has none."""
    for ending in ARCHIVE_ENDINGS:
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return None


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[Members]:
    """The plain files in a zip or tar (also compressed), in the archive's order.

    The readers work inside the `with` block and in one thread at a time; in the
    archive's order they read it once from front to back.

    Raises:
      UserError: it is damaged, no archive, or has a member that is not to be trusted.
    """
    with _archive_errors(path):
        if _starts_as_zip(path):
            with zipfile.ZipFile(path) as archive:
                yield _zip_members(archive, path)
        else:
            with tarfile.open(path) as archive:
                yield _tar_members(archive, path)


def class_tars(path: Path, wanted: Collection[str]) -> Iterator[tuple[str, Members]]:
    """(stem, members) of the tars `stem.tar` inside the tar `path`, of those wanted.

    The outer tar is walked once; other members are skipped over by seeking, and the
    walk ends with the last wanted one. The members are readable until the next step.

    Raises:
      UserError: as `open_archive`.
    """
    left = set(wanted)
    with _archive_errors(path), tarfile.open(path) as outer:
        for info in outer:
            _refuse_unsafe_tar_member(info, path)
            stem = archive_stem(Path(info.name))
            if stem not in left or not info.isfile():
                continue
            with tarfile.open(fileobj=outer.extractfile(info)) as inner:
                yield stem, _tar_members(inner, path)
            left.remove(stem)
            if not left:
                return


def _starts_as_zip(path: Path) -> bool:
    """By its first bytes: `zipfile.is_zipfile` looks at the end, where a tar may hold a zip."""
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def _zip_members(archive: zipfile.ZipFile, path: Path) -> Members:
    members: Members = {}
    for info in archive.infolist():
        mode = info.external_attr >> 16
        _refuse_unsafe_name(info.filename, path)
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _refusal(path, info.filename, "is a link or device")
        if info.flag_bits & 1:
            raise _refusal(path, info.filename, "is encrypted")
        if not info.is_dir():
            _add(members, info.filename, info.file_size, path)
            members[info.filename] = lambda info=info: _read_zip_member(archive, info)
    return members


def _read_zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes | BrokenImage:
    try:
        return archive.read(info)
    except UNREADABLE as error:
        return BrokenImage(f"it is damaged inside its archive ({error})")


def _tar_members(archive: tarfile.TarFile, path: Path) -> Members:
    members: Members = {}
    for info in archive:
        _refuse_unsafe_tar_member(info, path)
        if info.isfile():
            _add(members, info.name, info.size, path)
            members[info.name] = lambda info=info: _read_tar_member(archive, info)
    return members


def _read_tar_member(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(info)
    assert file is not None  # as it is where `info.isfile()`
    return file.read()


def _refuse_unsafe_tar_member(info: tarfile.TarInfo, path: Path) -> None:
    _refuse_unsafe_name(info.name, path)
    if not (info.isfile() or info.isdir()):
        raise _refusal(path, info.name, "is a link or device")


def _refuse_unsafe_name(name: str, path: Path) -> None:
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or re.match(r"[A-Za-z]:", name):
        raise _refusal(path, name, "leads out of the archive's folder")


def _add(members: Members, name: str, size: int, path: Path) -> None:
    if size > MAX_MEMBER_BYTES:
        raise _refusal(path, name, f"unpacks to {size:,} bytes, more than any image has")
    if name in members:
        raise _refusal(path, name, "is there twice")


def _refusal(path: Path, name: str, why: str) -> UserError:
    return UserError(
        f"{path}: its member {name!r} {why}; nothing was read from it, "
        "get the archive from a source you trust"
    )


@contextlib.contextmanager
def _archive_errors(path: Path) -> Iterator[None]:
    """Turns what the archive modules raise into one sentence."""
    try:
        yield
    except (*DAMAGE, OSError) as error:
        reason = str(error).split("\n")[0]
        with contextlib.suppress(OSError), path.open("rb") as file:
            reason = foreign_content(file.read(256)) or reason
        raise UserError(f"{path}: not a readable archive ({reason}); fetch it again") from error
