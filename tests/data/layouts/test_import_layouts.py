"""Every layout of the same pictures becomes the same store; nothing is lost silently."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from made_images import (
    CLASSES,
    RANKS,
    encoded,
    expected_pixels,
    picture,
    pictures,
    write_csvs,
    write_folders,
    write_tar,
    write_zip,
)
from PIL import Image

from supervised_reptile.data.import_layout import notes_on
from supervised_reptile.data.layouts.layout import NO_FORMAT
from supervised_reptile.data.miniimagenet import import_miniimagenet, open_miniimagenet
from supervised_reptile.data.store import cache_folder, is_store, open_store
from supervised_reptile.errors import UserError

MADE = pictures()


def by_member(top: str = "") -> dict[str, bytes]:
    return {top + "/".join(parts): data for parts, data in MADE.items()}


def of_split(split: str, top: str = "") -> dict[str, bytes]:
    return {name: data for name, data in by_member(top).items() if f"{split}/n" in name}


def folders(root: Path) -> Path:
    return write_folders(root, MADE)


def folders_below_a_top_folder(root: Path) -> Path:
    write_folders(root / "mini-imagenet", MADE)
    return root


def folders_with_other_endings(root: Path) -> Path:
    for (split, label, file), data in MADE.items():
        ending = {"train": ".JPEG", "val": ".jpeg", "test": ".jpg"}[split]
        write_folders(root, {(split, label, Path(file).stem + ending): data})
    return root


def validation_folder(root: Path) -> Path:
    write_folders(root, MADE)
    (root / "val").rename(root / "validation")
    return root


def one_zip(root: Path) -> Path:
    return write_zip(root / "all.zip", by_member())


def one_zip_with_top_folder(root: Path) -> Path:
    return write_zip(root / "all.zip", by_member("top/mini/"))


def one_tar(root: Path) -> Path:
    return write_tar(root / "all.tar", by_member("./"))


def one_tar_gz_in_a_folder(root: Path) -> Path:
    write_tar(root / "all.tar.gz", by_member(), "w:gz")
    return root


def three_zips(root: Path) -> Path:
    for split in CLASSES:
        write_zip(root / f"{split}.zip", of_split(split))
    return root


def three_zips_without_top_folder(root: Path) -> Path:
    for split in CLASSES:
        members = {name.split("/", 1)[1]: data for name, data in of_split(split).items()}
        write_zip(root / f"{split}.zip", members)
    return root


def three_tars_in_reverse_order(root: Path) -> Path:
    for split in CLASSES:
        write_tar(root / f"{split}.tar", dict(reversed(of_split(split).items())))
    return root


def csvs_beside_images(root: Path) -> Path:
    write_csvs(root, MADE)
    (root / "images").mkdir()
    for (_, _, file), data in MADE.items():
        (root / "images" / file).write_bytes(data)
    return root


def csvs_beside_class_folders_in_a_top_folder(root: Path) -> Path:
    """Without a folder around the images."""
    top = write_csvs(root / "top", MADE)
    write_folders(top, {(label, file): data for (_, label, file), data in MADE.items()})
    return root


def csvs_beside_images_in_capitals(root: Path) -> Path:
    (csvs_beside_images(root) / "images").rename(root / "Images")
    return root


def three_zips_in_a_top_folder(root: Path) -> Path:
    (root / "top").mkdir()
    three_zips(root / "top")
    return root


def csvs_beside_a_zip(root: Path) -> Path:
    write_csvs(root, MADE)
    write_zip(root / "images.zip", {f"images/{file}": d for (_, _, file), d in MADE.items()})
    return root


def ilsvrc_tar(root: Path) -> Path:
    """The pictures under ImageNet's names, among others, in tars of classes in a tar."""
    write_csvs(root, MADE)
    tars = {"n00000001.tar": b"not even a tar: nobody may look at it"}
    for _, label in {(split, label): 0 for split, label, _ in MADE}:
        # Numbers whose order as text is not their order as numbers; the members are shuffled.
        numbers = [7 * rank + 3 for rank in range(1, 15)]
        in_rank = {number: rank for rank, number in enumerate(numbers, start=1)}
        members = {}
        for number in sorted(numbers, key=str):
            split = next(split for split, labels in CLASSES.items() if label in labels)
            file = f"{label}{in_rank[number]:08d}.jpg"
            data = MADE.get((split, label, file), b"an image that is not in the CSVs")
            members[f"{label}_{number}.JPEG"] = data
        tars[f"{label}.tar"] = write_tar(root / "scratch.tar", members).read_bytes()
    (root / "scratch.tar").unlink()
    return write_tar(root / "ILSVRC2012_img_train.tar", tars)


def ilsvrc_tar_in_a_folder(root: Path) -> Path:
    return ilsvrc_tar(root).parent


def csvs_with_imagenet_names(root: Path) -> Path:
    """The CSVs name the files as ImageNet does."""
    renamed = {(s, c, f"{c}_{int(f[9:17])}.JPEG"): data for (s, c, f), data in MADE.items()}
    write_csvs(root, renamed)
    (root / "images").mkdir()
    for (_, _, file), data in renamed.items():
        (root / "images" / file).write_bytes(data)
    return root


SAME_NAMES = [
    folders,
    folders_below_a_top_folder,
    validation_folder,
    one_zip,
    one_zip_with_top_folder,
    one_tar,
    one_tar_gz_in_a_folder,
    three_zips,
    three_zips_without_top_folder,
    three_tars_in_reverse_order,
    csvs_beside_images,
    csvs_beside_images_in_capitals,
    csvs_beside_class_folders_in_a_top_folder,
    three_zips_in_a_top_folder,
    csvs_beside_a_zip,
    ilsvrc_tar,
    ilsvrc_tar_in_a_folder,
]


@pytest.mark.parametrize("lay", [*SAME_NAMES, folders_with_other_endings], ids=lambda f: f.__name__)
def test_every_layout_gives_the_same_store(lay, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    store = import_miniimagenet(lay(tmp_path / "in"), tmp_path / "out")
    assert np.array_equal(store.images, expected_pixels(MADE))
    assert store.names == tuple(label for labels in CLASSES.values() for label in labels)
    assert {split: [store.names[c] for c in ids] for split, ids in store.splits.items()} == {
        split: list(labels) for split, labels in CLASSES.items()
    }
    assert store.counts.tolist() == [len(RANKS)] * len(store.names)
    assert store.max_value == 255
    assert "LANCZOS" in store.provenance["resize"]
    if lay in SAME_NAMES:
        assert store.files == tuple(sorted_files())


def sorted_files() -> list[str]:
    return [f"{c}{rank:08d}.jpg" for labels in CLASSES.values() for c in labels for rank in RANKS]


def test_imagenet_names_sort_as_text_where_the_csvs_use_them(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    store = import_miniimagenet(csvs_with_imagenet_names(tmp_path / "in"), tmp_path / "out")
    assert store.files[:3] == ("n01532829_11.JPEG", "n01532829_2.JPEG", "n01532829_5.JPEG")
    assert np.array_equal(store.images[1], expected_pixels(MADE)[0])


class Backwards:
    """A folder's entries in the reverse of their sorted order."""

    def __init__(self, entries) -> None:
        self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

    def __enter__(self):
        return iter(self.entries)

    def __exit__(self, *_) -> None:
        pass


def test_listing_order_does_not_matter(tmp_path: Path, monkeypatch) -> None:
    forward = import_miniimagenet(folders(tmp_path / "in"), tmp_path / "forward")
    listed = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: Backwards(listed(path)))
    backward = import_miniimagenet(tmp_path / "in", tmp_path / "backward")
    assert forward.checksum == backward.checksum
    assert forward.files == backward.files


def test_other_sizes_are_resized_by_the_named_filter(tmp_path: Path) -> None:
    write_folders(tmp_path / "in", MADE)
    large = picture(99, (200, 120))
    (tmp_path / "in/train/n01532829/n0153282900000001.png").write_bytes(encoded(large, "PNG"))
    store = import_miniimagenet(tmp_path / "in", tmp_path / "out", image_size=40)
    assert store.image_shape == (40, 40, 3)
    wanted = large.resize((40, 40), Image.Resampling.LANCZOS)
    assert np.array_equal(store.images[0], np.asarray(wanted))


# Pickles


def arrays(split: str) -> tuple[np.ndarray, dict[str, list[int]]]:
    images = expected_pixels({parts: data for parts, data in MADE.items() if parts[0] == split})
    table = {c: list(range(3 * n, 3 * n + 3)) for n, c in enumerate(CLASSES[split])}
    return images, table


def python2_pickle(images: np.ndarray, table: dict[str, list[int]]) -> bytes:
    """Byte for byte what Python 2's cPickle and a numpy of its day write at protocol 2."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    def number(value: int) -> bytes:
        return b"J" + value.to_bytes(4, "little", signed=True)

    shape = b"(" + b"".join(map(number, images.shape)) + b"t"
    dtype = b"cnumpy\ndtype\n" + text(b"u1") + number(0) + number(1) + b"\x87R"
    dtype += b"(" + number(3) + text(b"|") + b"NNN" + number(-1) * 2 + number(0) + b"tb"
    data = b"T" + images.nbytes.to_bytes(4, "little") + images.tobytes()
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
    array += number(0) + b"\x85" + text(b"b") + b"\x87R"
    array += b"(" + number(1) + shape + dtype + b"\x89" + data + b"tb"
    classes = b"}("
    for label, indices in table.items():
        classes += text(label.encode()) + b"](" + b"".join(map(number, indices)) + b"e"
    items = text(b"image_data") + array + text(b"class_dict") + classes + b"u"
    return b"\x80\x02}(" + items + b"u."


def old_numpy_pickle(protocol: int):
    def dump(images: np.ndarray, table: dict[str, list[int]]) -> bytes:
        data = pickle.dumps({"image_data": images, "class_dict": table}, protocol)
        return data.replace(b"cnumpy._core.", b"cnumpy.core.")

    return dump


@pytest.mark.parametrize(
    "dump", [python2_pickle, *map(old_numpy_pickle, range(6))], ids=lambda f: f.__qualname__
)
@pytest.mark.parametrize("val", ["val", "validation"])
def test_pickles(dump, val: str, tmp_path: Path) -> None:
    for split, word in (("train", "train"), ("val", val), ("test", "test")):
        images, table = arrays(split)
        data = dump(images, table)
        assert np.array_equal(pickle.loads(data, encoding="latin1")["image_data"], images)
        (tmp_path / f"mini-imagenet-cache-{word}.pkl").write_bytes(data)
    store = import_miniimagenet(tmp_path, tmp_path / "out")
    assert np.array_equal(store.images, expected_pixels(MADE))
    assert store.names[0] == "n01532829"
    same = import_miniimagenet(tmp_path / "mini-imagenet-cache-test.pkl", tmp_path / "same")
    assert same.checksum == store.checksum


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"image_data": np.zeros((2, 4, 4, 3), np.float32), "class_dict": {}}, "float32"),
        ({"image_data": np.zeros((2, 4, 4), np.uint8), "class_dict": {}}, "not uint8"),
        ({"image_data": np.zeros((2, 4, 4, 3), np.uint8), "class_dict": {"a": [2]}}, "beyond"),
        ({"image_data": np.zeros((2, 4, 4, 3), np.uint8), "class_dict": {"a": [-1]}}, "beyond"),
        ({"image_data": np.zeros((2, 4, 4, 3), np.uint8), "class_dict": {"a": [0, 0]}}, "twice"),
        ({"image_data": np.zeros((2, 4, 4, 3), np.uint8), "class_dict": {"a": "b"}}, "indices"),
        ({"images": 1}, "no arrays"),
        ([1, 2], "no arrays"),
    ],
)
def test_pickles_of_another_form_are_named(content, complaint: str, tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        (tmp_path / f"mini-imagenet-cache-{split}.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(UserError, match=complaint) as caught:
        import_miniimagenet(tmp_path, tmp_path / "out")
    assert "mini-imagenet-cache-test.pkl" in str(caught.value)


def gidaris(labels: list, names: object, data: np.ndarray) -> bytes:
    """As Gidaris and Komodakis' files: Python 2's strings, labels as integers."""
    content = {"data": data, "labels": labels, "catname2label": names, "label2catname": list(names)}
    return pickle.dumps({key.encode(): value for key, value in content.items()}, 2)


@pytest.mark.parametrize("number", [int, np.int64])
@pytest.mark.parametrize("named", [True, False])
def test_pickles_of_gidaris_and_komodakis(number, named: bool, tmp_path: Path) -> None:
    stem, first = tmp_path / "miniImageNet_category_split", 0
    for split, labels in CLASSES.items():
        numbers = {label: first + n for n, label in enumerate(labels)}
        order = np.arange(3 * len(labels))[::-1]  # the images of a class need not be consecutive
        values = [number(first + n // 3) for n in order]
        data = gidaris(values, numbers if named else {}, arrays(split)[0][order])
        word = {"train": "train_phase_train"}.get(split, split)
        stem.with_name(f"{stem.name}_{word}.pickle").write_bytes(data)
        first += len(labels)
    for word in ("val", "test"):  # nobody reads these
        stem.with_name(f"{stem.name}_train_phase_{word}.pickle").write_bytes(b"")
    store = import_miniimagenet(tmp_path, tmp_path / "out")
    assert [len(ids) for ids in store.splits.values()] == [3, 1, 2]
    assert store.names[0] == ("n01532829" if named else "class 000")
    assert np.array_equal(np.asarray(store.images[:3])[::-1], expected_pixels(MADE)[:3])
    assert "2 pickles with more images of training classes" in notes_on(store)[0]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"data": np.zeros((2, 4, 4, 3), np.uint8), "labels": [0]}, "1 labels for 2 images"),
        ({"data": np.zeros((2, 4, 4, 3), np.uint8), "labels": ["a", "b"]}, "other than integers"),
        ({"data": np.zeros((2, 4, 4), np.uint8), "labels": [0, 1]}, "its data is uint8"),
        ({"data": np.zeros((2, 4, 4, 3), np.uint8)}, "nor `data` and `labels`"),
    ],
)
def test_labelled_pickles_of_another_form_are_named(content, complaint, tmp_path: Path) -> None:
    for split in ("train_phase_train", "val", "test"):
        path = tmp_path / f"miniImageNet_category_split_{split}.pickle"
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(UserError, match=complaint):
        import_miniimagenet(tmp_path, tmp_path / "out")


# CSVs


@pytest.mark.parametrize("name", ["val.csv", "Validation.CSV"])
@pytest.mark.parametrize("packed", [False, True])
def test_csvs_beside_class_folders(name: str, packed: bool, tmp_path: Path) -> None:
    """Two classes may have a file of the same name."""
    renamed = {(s, c, f"{int(f[9:17])}.jpg"): data for (s, c, f), data in MADE.items()}
    write_csvs(tmp_path, renamed)
    (tmp_path / "val.csv").rename(tmp_path / name)
    members = {f"images/{c}/{file}": data for (_, c, file), data in renamed.items()}
    members["images/n01532829/._2.jpg"] = members["__MACOSX/images/n01532829/2.jpg"] = b"junk"
    if packed:
        write_zip(tmp_path / "images.zip", members)
    else:
        write_folders(tmp_path, {tuple(name.split("/")): data for name, data in members.items()})
    store = import_miniimagenet(tmp_path, tmp_path / "out")
    order = sorted(renamed, key=lambda parts: (tuple(CLASSES).index(parts[0]), *parts[1:]))
    wanted = [np.asarray(Image.open(io.BytesIO(renamed[parts]))) for parts in order]
    assert np.array_equal(store.images, np.stack(wanted))


# Broken images

HTML = b"<!DOCTYPE html><html><body>Please log in</body></html>"
BROKEN = {
    "n0153282900000003.jpg": (b"", "empty"),
    "n0153282900000004.jpg": (HTML, "HTML page"),
    "n0153282900000006.jpg": (encoded(picture(0))[:700], "truncated"),
    "n0153282900000007.png": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    "n0153282900000008.png": (b"\x89PNG\r\n\x1a\n nonsense", "."),
}


def broken_folders(root: Path) -> Path:
    write_folders(root, MADE)
    return write_folders(root, {("train", "n01532829", n): d for n, (d, _) in BROKEN.items()})


def test_broken_files_stop_the_import_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        import_miniimagenet(broken_folders(tmp_path / "in"), tmp_path / "out")
    message = str(caught.value)
    assert "5 of 23 images are broken" in message
    assert "--skip-broken" in message
    for name, (_, reason) in BROKEN.items():
        assert f"train/n01532829/{name}" in message
        assert reason in message
    assert not (tmp_path / "out").exists()
    assert list(tmp_path.iterdir()) == [tmp_path / "in"]


def test_skip_broken_leaves_them_out_and_counts_them(tmp_path: Path) -> None:
    source = broken_folders(tmp_path / "in")
    store = import_miniimagenet(source, tmp_path / "out", skip_broken=True)
    assert np.array_equal(store.images, expected_pixels(MADE))
    assert store.provenance["skipped_per_class"] == {"n01532829": 5}
    assert len(store.provenance["skipped"]) == 5


def test_damage_inside_a_zip_is_named_by_its_member(tmp_path: Path) -> None:
    path = one_zip(tmp_path)
    data = bytearray(path.read_bytes())
    victim = MADE["val", "n01855672", "n0185567200000005.jpg"]
    data[data.index(victim) + 300] ^= 0xFF  # the checksum in the archive no longer fits
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"all.zip:val/n01855672/n0185567200000005.jpg \(.*CRC"):
        import_miniimagenet(path, tmp_path / "out")


def test_images_listed_but_absent_are_named(tmp_path: Path) -> None:
    csvs_beside_images(tmp_path)
    (tmp_path / "images" / "n0153282900000002.jpg").unlink()
    with pytest.raises(UserError, match=r"n01532829/n0153282900000002.jpg \(.*not there"):
        import_miniimagenet(tmp_path, tmp_path / "out")


def test_a_class_of_only_broken_images_disappears_when_skipped(tmp_path: Path) -> None:
    write_folders(tmp_path / "in", MADE)
    write_folders(tmp_path / "in", {("train", "n09999999", "a.jpg"): b""})
    store = import_miniimagenet(tmp_path / "in", tmp_path / "out", skip_broken=True)
    assert "n09999999" not in store.names
    assert store.provenance["skipped_per_class"] == {"n09999999": 1}


def test_an_empty_class_is_named(tmp_path: Path) -> None:
    write_folders(tmp_path / "in", MADE)
    (tmp_path / "in/train/n09999999").mkdir()
    (tmp_path / "in/train/n09999999/notes.txt").write_text("soon")
    with pytest.raises(UserError, match="no image in the class train/n09999999"):
        import_miniimagenet(tmp_path / "in", tmp_path / "out")
    store = import_miniimagenet(tmp_path / "in", tmp_path / "out", skip_broken=True)
    assert store.provenance["left_out"] == {NO_FORMAT: [1, ["train/n09999999/notes.txt"]]}


def test_files_of_the_operating_system_are_passed_over(tmp_path: Path) -> None:
    members = by_member() | {
        "__MACOSX/train/n01532829/._n0153282900000002.jpg": b"resource fork",
        "train/.DS_Store": b"x",
        "train/n01532829/.hidden.jpg": b"x",
    }
    store = import_miniimagenet(write_zip(tmp_path / "a.zip", members), tmp_path / "out")
    assert np.array_equal(store.images, expected_pixels(MADE))
    assert store.provenance["left_out"] == {}


# What cannot be imported


def test_the_same_class_in_two_splits_is_refused(tmp_path: Path) -> None:
    write_folders(tmp_path / "in", MADE)
    write_folders(tmp_path / "in", {("test", "n01532829", "a.jpg"): encoded(picture(1))})
    with pytest.raises(UserError, match="more than one of train, val and test: n01532829"):
        import_miniimagenet(tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize("lay", [folders, three_zips], ids=lambda f: f.__name__)
def test_a_missing_split_is_named(lay, tmp_path: Path) -> None:
    lay(tmp_path)
    for path in tmp_path.glob("train*"):
        path.rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="for val and test but not for train"):
        import_miniimagenet(tmp_path, tmp_path / "out")


def test_ilsvrc_without_csvs_says_what_is_missing(tmp_path: Path) -> None:
    ilsvrc_tar(tmp_path)
    (tmp_path / "train.csv").unlink()
    with pytest.raises(UserError, match=r"needs .*train.csv, val.csv and test.csv beside it"):
        import_miniimagenet(tmp_path / "ILSVRC2012_img_train.tar", tmp_path / "out")


@pytest.mark.parametrize("bad", ["file,label\n", "filename,label\njust-one\n", ""])
def test_malformed_csvs_are_named(bad: str, tmp_path: Path) -> None:
    csvs_beside_images(tmp_path)
    (tmp_path / "val.csv").write_text(bad)
    with pytest.raises(UserError, match=r"val\.csv"):
        import_miniimagenet(tmp_path, tmp_path / "out")


def test_nothing_to_import_names_the_ways_out(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UserError) as caught:
            open_miniimagenet(path)
        for words in ("./fetch_data.sh", "reptile data import", "train.zip", "images/", ".pkl"):
            assert words in str(caught.value)


def test_a_folder_of_other_things_is_never_replaced(tmp_path: Path) -> None:
    folders(tmp_path / "in")
    with pytest.raises(UserError, match="holds other files"):
        import_miniimagenet(tmp_path / "in", tmp_path / "in")
    assert (tmp_path / "in/train").is_dir()


# The cache


def test_raw_data_are_imported_once(tmp_path: Path, monkeypatch) -> None:
    three_zips(tmp_path)
    first = open_miniimagenet(tmp_path)
    assert is_store(first.folder)
    assert cache_folder() in first.folder.parents
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("decoded again"))
    assert open_miniimagenet(tmp_path).checksum == first.checksum
    assert open_miniimagenet(first.folder).checksum == first.checksum


def test_cached_data_without_broken_images_are_not_taken_for_whole(tmp_path: Path) -> None:
    source = broken_folders(tmp_path / "in")
    assert len(open_miniimagenet(source, skip_broken=True).images) == 18
    with pytest.raises(UserError, match="5 of 23 images are broken"):
        open_miniimagenet(source)


def test_a_store_of_another_size_is_refused(tmp_path: Path) -> None:
    import_miniimagenet(folders(tmp_path / "in"), tmp_path / "out", image_size=40)
    with pytest.raises(UserError, match="40x40x3, not 84x84x3"):
        open_miniimagenet(tmp_path / "out")
    assert open_store(tmp_path / "out").image_shape == (40, 40, 3)


def test_a_truncated_tar_names_itself(tmp_path: Path) -> None:
    path = one_tar(tmp_path)
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(UserError, match=r"all.tar: not a readable archive"):
        import_miniimagenet(path, tmp_path / "out")


def test_a_damaged_class_tar_names_the_big_one(tmp_path: Path) -> None:
    write_csvs(tmp_path, MADE)
    path = write_tar(tmp_path / "ILSVRC2012_img_train.tar", {"n01532829.tar": b"x" * 2000})
    with pytest.raises(UserError, match=r"ILSVRC2012_img_train\.tar: not a readable archive"):
        import_miniimagenet(path, tmp_path / "out")


def test_the_wanted_classes_of_ilsvrc_are_read_and_no_others(tmp_path: Path, monkeypatch) -> None:
    path = ilsvrc_tar(tmp_path)
    opened: list[io.BufferedIOBase] = []
    real = tarfile.open

    def counting(*args, **options):
        opened.append(options.get("fileobj"))
        return real(*args, **options)

    monkeypatch.setattr(tarfile, "open", counting)
    import_miniimagenet(path, tmp_path / "out")
    assert len(opened) == 1 + 6  # the outer tar once, and each of the six classes once
