"""Class folders as people have them: what is data, what is a class, what is said of the rest."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_images import encoded, picture, write_zip
from PIL import Image

from supervised_reptile.data.import_layout import notes_on
from supervised_reptile.data.layouts import decode_image
from supervised_reptile.data.own_images import open_folder
from supervised_reptile.data.store import ImageStore
from supervised_reptile.errors import UserError

CLASSES = ("ant", "bee", "cat", "dog")
SYSTEM = (
    ".hidden.png", "._0.png", ".DS_Store", "Thumbs.db", "desktop.ini", "Icon\r",
    "@eaDir/0.png", "$RECYCLE.BIN/0.png", "System Volume Information/0.png", "lost+found/0.png",
    ".Trash-1000/files/0.png", "#recycle/0.png", ".ipynb_checkpoints/0.png", "__pycache__/0.png",
    "__MACOSX/ant/._0.png", "$Recycle.Bin/a/b/0.png",
)  # fmt: skip
DOCUMENTS = ("README", "LICENSE", "notes.pdf", "SHA256SUMS", "film.mpg", "words")
Files = dict[str, bytes]


def made(folder: str, labels: tuple[str, ...] = CLASSES, inside: str = "", count: int = 2) -> Files:
    """`<folder>/<label>/<inside>/<number>.png`, all different."""
    parts = [(label, number) for label in labels for number in range(count)]
    return {
        "/".join(filter(None, (folder, label, inside, f"{number}.png"))): encoded(
            picture(hash((folder, label, number)) % 2**32, (20, 20)), "PNG"
        )
        for label, number in parts
    }


def on_disk(root: Path, files: Files) -> Path:
    for name, data in files.items():
        path = root / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root / "data"


def in_a_zip(root: Path, files: Files) -> Path:
    return write_zip(root / "data.ZIP", files)


LAID = pytest.mark.parametrize("lay", [on_disk, in_a_zip], ids=lambda f: f.__name__)


def opened(path: Path) -> ImageStore:
    return open_folder(path)


def labels_of(store: ImageStore) -> dict[str, list[str]]:
    return {split: [store.names[c] for c in ids] for split, ids in store.splits.items()}


@LAID
def test_what_systems_keep_for_themselves_is_no_data(lay, tmp_path: Path) -> None:
    clean = opened(lay(tmp_path / "clean", made("")))
    there = [f"{folder}{name}" for folder in ("", "ant/", "ant/more/") for name in SYSTEM]
    store = opened(lay(tmp_path / "more", made("") | dict.fromkeys(there, b"junk")))
    assert store.checksum == clean.checksum
    assert notes_on(store) == []
    assert on_disk is not lay or store.folder == clean.folder.with_name(store.folder.name)


@LAID
def test_documents_are_no_broken_images(lay, tmp_path: Path) -> None:
    more = {f"ant/{name}": b"some words" for name in DOCUMENTS}
    store = opened(lay(tmp_path, made("") | more))
    assert len(store.images) == 8
    (note,) = notes_on(store)
    assert "left out 6 files of no image format (" in note
    assert note.count(",") == 3  # three names and dots


@LAID
def test_subfolders_of_a_class_belong_to_it(lay, tmp_path: Path) -> None:
    files = made("") | made("", ("ant",), "2024/june") | made("", ("bee",), "images")
    store = opened(lay(tmp_path, files))
    assert dict(zip(store.names, store.counts.tolist(), strict=True)) == {
        "ant": 4, "bee": 4, "cat": 2, "dog": 2,
    }  # fmt: skip
    assert "2024/june/0.png" in store.files
    assert notes_on(store) == []


@LAID
def test_classes_in_folders_around_them_are_mentioned(lay, tmp_path: Path) -> None:
    """What is a class, and what only groups classes, is not to be known."""
    files = {n: d for top in ("asia", "europe", "rest") for n, d in made(top).items()}
    store = opened(lay(tmp_path, files))
    assert store.names == ("asia", "europe", "rest")
    (note,) = notes_on(store)
    assert "every class holds subfolders (asia/ant, asia/bee, asia/cat and 9 more)" in note


def test_broken_images_are_grouped_by_reason(tmp_path: Path) -> None:
    empty = {"ant/x.png": b"", "bee/y.png": b"", "bee/z.png": b"<html>"}
    with pytest.raises(UserError) as caught:
        opened(on_disk(tmp_path, made("") | empty))
    assert "ant/x.png, bee/y.png (it is empty); bee/z.png (it is an HTML" in str(caught.value)


def test_links_are_followed_but_not_around_in_circles(tmp_path: Path) -> None:
    root = on_disk(tmp_path, made("") | made("../elsewhere", ("elk",)))
    for name, target in {"ant/up": "..", "ant/above": "../..", "bee/self": "."}.items():
        (root / name).symlink_to(target)
    (root / "elk").symlink_to("../elsewhere/elk")
    (root / "cat/more").symlink_to("../../elsewhere/elk")
    store = opened(root)
    assert dict(zip(store.names, store.counts.tolist(), strict=True)) == {
        "ant": 2, "bee": 2, "cat": 4, "dog": 2, "elk": 2,
    }  # fmt: skip


NAMES = [
    ("train", "dev", "test"),
    ("Train", "Validation", "TEST"),
    ("Training", "valid", "Testing"),
    ("meta-train", "meta-val", "meta-test"),
    ("metatrain", "metaval", "metatest"),
    ("base", "val", "novel"),
    ("train_images", "val-images", "Test Data"),
]


def divided(names: tuple[str, ...], top: str = "", inside: str = "") -> Files:
    split_labels = zip(names, (("a", "b"), ("c", "d"), ("e", "f")), strict=False)
    return {
        name: data
        for split, labels in split_labels
        for name, data in made(f"{top}{split}", labels, inside).items()
    }


WANTED = {"train": ["a", "b"], "val": ["c", "d"], "test": ["e", "f"]}


@LAID
@pytest.mark.parametrize("names", NAMES, ids="-".join)
@pytest.mark.parametrize("top", ["", "wrapper/", "two/wrappers/", "wrapper/images/"])
def test_splits_are_found_by_any_of_their_names(lay, names, top: str, tmp_path: Path) -> None:
    store = opened(lay(tmp_path, divided(names, top)))
    assert labels_of(store) == WANTED
    assert notes_on(store) == []


@LAID
@pytest.mark.parametrize(
    "names", [("train/train", "val/images", "test"), ("train", "val", "test")], ids="-".join
)
def test_images_folders_are_no_classes(lay, names, tmp_path: Path) -> None:
    assert labels_of(opened(lay(tmp_path, divided(names, inside="images")))) == WANTED


@LAID
@pytest.mark.parametrize("top", ["wrapper/", "two/wrappers/", "train/"])
def test_class_folders_in_a_wrapper_are_divided(lay, top: str, tmp_path: Path) -> None:
    files = made(top[:-1]) | {"teaser.png": encoded(picture(1), "PNG"), "notes/x.txt": b"x"}
    store = opened(lay(tmp_path, files))
    assert store.names == CLASSES
    assert notes_on(store)[0].endswith("teaser.png)")


@LAID
def test_tiny_imagenet(lay, tmp_path: Path) -> None:
    """Its val has no class folders, but a file that names the classes: those of train."""
    files = made("tiny/train", inside="images") | {
        "tiny/train/ant/ant_boxes.txt": b"0 1",
        "tiny/val/val_annotations.txt": b"val_0.JPEG ant",
        "tiny/val/images/val_0.JPEG": encoded(picture(1)),
        "tiny/test/images/test_0.JPEG": encoded(picture(2)),
        "tiny/wnids.txt": b"ant",
    }
    store = opened(lay(tmp_path, files))
    assert store.names == CLASSES
    assert store.counts.tolist() == [2] * 4
    (note,) = notes_on(store)
    for split in ("val", "test"):
        assert f"1 image in {split}, which holds no class folders (" in note


@LAID
def test_images_outside_of_the_splits_are_said(lay, tmp_path: Path) -> None:
    files = divided(NAMES[0]) | made("extra", ("z",)) | {"a.png": b"", "train/b.png": b""}
    store = opened(lay(tmp_path, files))
    assert labels_of(store) == WANTED
    (note,) = notes_on(store)
    assert "3 images outside the folders of the splits" in note
    assert "1 image beside the class folders" in note


@LAID
def test_classes_may_be_called_as_splits_are(lay, tmp_path: Path) -> None:
    names = ("ant", "base", "dev", "test", "train")
    assert opened(lay(tmp_path, made("", names))).names == names


@LAID
@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        (divided(("train", "val", "validation")), "val and validation both stand for val"),
        (divided(("val", "test")), "for val and test but not for train"),
        (made("", ("train", "valid", "test"), "images"), "hold no class folders"),
        ({"ant/a.raw": b"x", "bee/b.raw": b"x"},
         "image in the .*passed over 2 files of no image format|holds no image|no class folders"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(lay, files: Files, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=complaint):
        opened(lay(tmp_path, files))


@pytest.mark.parametrize("other", [("test",), ("val",), ("val", "test")])
def test_an_archive_for_each_split(other: tuple[str, ...], tmp_path: Path) -> None:
    for split in ("train", *other):
        labels = (f"{split} 1", f"{split} 2")
        top = {"train": "train", "val": "", "test": "down/test"}[split]
        write_zip(tmp_path / f"{split}.Zip", made(top, labels))
    store = opened(tmp_path)
    assert labels_of(store) == {s: [f"{s} 1", f"{s} 2"] for s in ("train", *other)}
    assert len(notes_on(store)) == 2 - len(other)


def test_an_archive_of_loose_images_is_no_split(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_zip(tmp_path / f"{split}.zip", made(split, (f"{split} 1", f"{split} 2")))
    write_zip(tmp_path / "test.zip", made("", ("test",)))
    (note, missing) = notes_on(opened(tmp_path))
    assert "2 images in test.zip, which holds no class folders" in note
    assert missing.endswith("has no test classes of its own")


def test_csvs_that_divide_an_archives_images_are_not_passed_over(tmp_path: Path) -> None:
    csvs = {f"{split}.csv": b"filename,label\n0.png,ant\n" for split in ("train", "val", "test")}
    with pytest.raises(UserError, match=r"test.csv, train.csv, val.csv divide .* unpack it"):
        opened(in_a_zip(tmp_path, made("") | csvs))


@pytest.mark.parametrize("rows", [b"filename,label\n0.png,ant\n", b"id,species\n1,ant\n"])
def test_csvs_that_do_not_divide_the_classes_are_passed_over(rows: bytes, tmp_path: Path) -> None:
    csvs = {f"{split}.csv": rows for split in ("train", "test")}
    assert opened(on_disk(tmp_path, made("") | csvs)).names == CLASSES


def test_moved_data_are_called_as_they_are_now(tmp_path: Path) -> None:
    """Their store is found in the cache under the name of then."""
    folder = on_disk(tmp_path, made("") | {"ant/README": b""})
    for name in ("first", "second"):
        folder = folder.rename(tmp_path / name)
        (note,) = notes_on(opened(folder))
        assert note.startswith(f"{name}: left out 1 file")


def test_windows_archives_have_other_slashes(tmp_path: Path) -> None:
    path = tmp_path / "made.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in made("wrapper").items():
            info = zipfile.ZipInfo("x")
            info.filename = name.replace("/", "\\")
            archive.writestr(info, data)
    assert opened(path).names == CLASSES


# HEIC


@pytest.fixture
def _no_heif(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As where pillow-heif is not installed."""
    caches = decode_image._formats, decode_image._known_endings
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    Image.init()
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


@pytest.mark.usefixtures("_no_heif")
@LAID
def test_heic_that_cannot_be_read_is_said(lay, tmp_path: Path) -> None:
    more = {f"ant/{n}.{'HEIC' if n % 2 else 'heic'}": HEIC for n in range(12)}
    store = opened(lay(tmp_path / "some", made("") | more))
    (note,) = notes_on(store)
    assert "left out 12 .heic files: install pillow-heif to read them (" in note
    assert note.endswith(", ...)")
    with pytest.raises(UserError, match=r"passed over 12 \.heic files: install pillow-heif"):
        opened(lay(tmp_path / "all", more))
    with pytest.raises(UserError, match="it is a HEIC image: install pillow-heif to read it"):
        opened(lay(tmp_path / "renamed", made("") | {"ant/a.jpg": HEIC}))


def test_heic_is_read_with_pillow_heif(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    root = on_disk(tmp_path, made(""))
    pillow_heif.from_pillow(Image.new("RGB", (20, 20), "red")).save(root / "ant/a.HEIC")
    store = opened(root)
    assert notes_on(store) == []
    assert abs(store.images[2].astype(int) - [255, 0, 0]).max() < 12
