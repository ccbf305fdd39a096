"""Archives are read in place, and hostile ones not at all."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from made_images import write_tar, write_zip

from supervised_reptile.data.layouts import archives
from supervised_reptile.data.layouts.archives import archive_stem, class_tars, open_archive
from supervised_reptile.data.layouts.layout import BrokenImage
from supervised_reptile.errors import UserError

GOOD = {"a/one.jpg": b"1", "a/two.jpg": b"22", "b/three.jpg": b"333"}
ESCAPES = ["../out.jpg", "a/../../out.jpg", "/etc/out.jpg", "..\\out.jpg", "C:\\out.jpg", "C:out"]


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz", "x.tgz", "x.tar.bz2", "x.tar.xz"])
def test_members_in_order(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    packing = {".gz": "w:gz", ".tgz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz"}
    if path.suffix == ".zip":
        write_zip(path, GOOD)
    else:
        write_tar(path, GOOD, packing.get(path.suffix, "w"))
    with open_archive(path) as members:
        assert {member: read() for member, read in members.items()} == GOOD
        assert list(members) == list(GOOD)
    assert archive_stem(path) == "x"


@pytest.mark.parametrize("escape", ESCAPES)
@pytest.mark.parametrize("kind", ["zip", "tar", "tar of tars", "tar in a tar"])
def test_members_that_leave_the_folder_are_refused_by_name(
    escape: str, kind: str, tmp_path: Path
) -> None:
    hostile = GOOD | {escape: b"evil"}
    path = tmp_path / "some.tar"
    if kind == "zip":
        path = write_zip(tmp_path / "some.zip", hostile)
    elif kind == "tar in a tar":
        write_tar(path, {"a.tar": write_tar(tmp_path / "in.tar", hostile).read_bytes()})
    else:
        write_tar(path, hostile)
    nested = "tar" in kind[3:]
    with pytest.raises(UserError, match="leads out of the archive's folder") as caught:
        list(class_tars(path, {"a", "z"})) if nested else open_archive(path).__enter__()
    assert path.name in str(caught.value)
    assert repr(escape) in str(caught.value)


SPECIAL = {
    "symbolic link": tarfile.SYMTYPE,
    "hard link": tarfile.LNKTYPE,
    "character device": tarfile.CHRTYPE,
    "block device": tarfile.BLKTYPE,
    "pipe": tarfile.FIFOTYPE,
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_links_and_devices_in_tars_are_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "some.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("a/odd.jpg")
        info.type = SPECIAL[kind]
        info.linkname = "/etc/passwd"
        archive.addfile(info)
    for read in (lambda: open_archive(path).__enter__(), lambda: list(class_tars(path, {"a"}))):
        with pytest.raises(UserError, match=r"'a/odd\.jpg' is a link or device"):
            read()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_in_zips_are_refused(kind: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        info = zipfile.ZipInfo("a/odd.jpg")
        info.external_attr = (kind | 0o644) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(UserError, match=r"'a/odd\.jpg' is a link or device"):
        open_archive(tmp_path / "some.zip").__enter__()


def test_encrypted_members_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "some.zip", {"a.jpg": b"1"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="is encrypted"):
        open_archive(path).__enter__()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.writestr("a.jpg", "1")
        archive.writestr("a.jpg", "2")
    with pytest.raises(UserError, match="is there twice"):
        open_archive(tmp_path / "some.zip").__enter__()


def test_members_too_large_for_an_image_are_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 2)
    for path in (write_zip(tmp_path / "x.zip", GOOD), write_tar(tmp_path / "x.tar", GOOD)):
        with pytest.raises(UserError, match=r"'b/three\.jpg' unpacks to 3 bytes"):
            open_archive(path).__enter__()


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "empty"),
        (b"<html>Sign in</html>", "HTML page"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
        (b"PK\x03\x04 cut", "not a readable archive"),
        (b"neither", "not a readable archive"),
    ],
)
def test_what_is_no_archive_is_said_in_one_line(data, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "some.zip"
    path.write_bytes(data)
    with pytest.raises(UserError, match=complaint) as caught:
        open_archive(path).__enter__()
    assert "\n" not in str(caught.value)
    assert "some.zip" in str(caught.value)


def test_a_cut_compressed_tar_names_itself(tmp_path: Path) -> None:
    noise = {f"{n}.jpg": bytes(range(256)) * (n + 9) for n in range(40)}
    path = write_tar(tmp_path / "some.tar.gz", noise, "w:gz")
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(UserError, match=r"some\.tar\.gz: not a readable archive"):
        open_archive(path).__enter__()


def refusal(path: Path) -> str | None:
    """The message with which an archive is refused; None if it and all its members are read."""
    try:
        with open_archive(path) as members:
            for read in members.values():
                read()
    except UserError as error:
        return str(error)
    return None


def test_a_zip_with_any_bit_flipped_is_refused_or_read(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "some.zip", {"a/é.jpg": b"1", "b/two.jpg": b"22"})
    whole = path.read_bytes()
    messages = []
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        messages.append(refusal(path))
    refused = [message for message in messages if message]
    assert len(refused) > 100
    assert all(message.startswith(f"{path}: ") for message in refused)


def test_a_tar_that_ends_with_a_zip_is_a_tar(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("x", "y")
    path = write_tar(tmp_path / "some.tar", {"a.zip": inner.getvalue()})
    with open_archive(path) as members:
        assert list(members) == ["a.zip"]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_is_damaged_leaves_the_others(method: int, tmp_path: Path) -> None:
    path = tmp_path / "some.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("bad.jpg", bytes(range(256)) * 9)
        archive.writestr("good.jpg", b"1")
    content = bytearray(path.read_bytes())
    content[40:60] = bytes(20)  # after the header of the first
    path.write_bytes(content)
    with open_archive(path) as members:
        assert isinstance(members["bad.jpg"](), BrokenImage)
        assert members["good.jpg"]() == b"1"
