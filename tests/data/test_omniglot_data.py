"""Omniglot: decoding, layouts, order, split, rotations, cache, damaged files."""

from __future__ import annotations

import io
import os
import random
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
from command_line import made_once, real_omniglot
from hypothesis import given, settings
from hypothesis import strategies as st
from made_images import encoded
from PIL import Image, ImageDraw

from supervised_reptile.data import omniglot
from supervised_reptile.data.import_layout import notes_on
from supervised_reptile.data.omniglot import (
    decode_drawing,
    load_omniglot,
    open_omniglot_store,
    train_share,
)
from supervised_reptile.data.store import StoreIndex, write_store
from supervised_reptile.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
CHARACTERS = {  # in each archive, alphabet -> characters, in no good order
    "images_background": {"Tagalog": 3, "Balinese": 12},
    "images_evaluation": {"Kannada": 2, "Atlantean": 4},
}
DRAWINGS = 3
Files = Mapping[str, bytes]  # path below the data folder -> content


def png(ink: np.ndarray) -> bytes:
    """A one-bit PNG of `ink`, bool [height, width]."""
    buffer = io.BytesIO()
    Image.fromarray(~ink).save(buffer, "PNG")
    return buffer.getvalue()


def noise(seed: int) -> np.ndarray:
    """Ink everywhere by chance, bool [105, 105]: no two pixels can be mixed up unseen."""
    return np.random.default_rng(seed).random((105, 105)) < 0.5


@pytest.fixture(scope="module")
def files() -> Files:
    """A small data set, as in the two archives."""
    made = {}
    for part, alphabets in CHARACTERS.items():
        for alphabet, characters in alphabets.items():
            for number in range(1, characters + 1):
                for drawing in range(1, DRAWINGS + 1):
                    path = f"{part}/{alphabet}/character{number:02}/{number:04}_{drawing:02}.png"
                    made[path] = png(noise(len(made)))
    return made


@pytest.fixture(autouse=True)
def _fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees what another one decoded."""
    monkeypatch.setenv("REPTILE_CACHE", str(tmp_path / "cache"))


def write_folder(root: Path, made: Files) -> Path:
    """Both parts as folders, written in the order of `made`."""
    for name, data in made.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def write_zips(root: Path, made: Files) -> Path:
    """Both parts as archives, with what archivers add."""
    root.mkdir(parents=True)
    for part in CHARACTERS:
        with zipfile.ZipFile(root / f"{part}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{part}/", b"")  # the entry of a folder
            for name, data in made.items():
                if name.startswith(part):
                    archive.writestr(name, data)
                    folder, file = name.rsplit("/", 1)
                    archive.writestr(f"__MACOSX/{folder}/._{file}", b"not an image")
    return root


def write_alphabets(root: Path, made: Files) -> Path:
    """All alphabets in one folder."""
    return write_folder(root, {name.split("/", 1)[1]: data for name, data in made.items()})


LAYOUTS = {"folders": write_folder, "archives": write_zips, "alphabets": write_alphabets}


def shuffled(made: Files, seed: int = 1) -> Files:
    items = list(made.items())
    random.Random(seed).shuffle(items)
    return dict(items)


def expected_names(made: Iterable[str]) -> list[str]:
    """Characters sorted by alphabet, then by folder, whichever archive they come from."""
    return ["/".join(c) for c in sorted({tuple(name.split("/")[-3:-1]) for name in made})]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32), share=st.floats(0, 1))
def test_decoding_is_pillows_default_resize(seed: int, share: float) -> None:
    ink = np.random.default_rng(seed).random((105, 105)) < share
    pixels = decode_drawing(png(ink))[0]
    expected = np.asarray(Image.fromarray(~ink).resize((28, 28)), np.uint8)
    assert pixels.shape == (28, 28, 1)
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels[:, :, 0], expected)


def test_ink_is_0_and_paper_1() -> None:
    ink = np.zeros((105, 105), bool)
    ink[:50] = True
    pixels = decode_drawing(png(ink))[0][:, :, 0]
    assert (pixels[:13] == 0).all()
    assert (pixels[14:] == 1).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_store(tmp_path: Path, files: Files, layout: str) -> None:
    store = open_omniglot_store(LAYOUTS[layout](tmp_path / "data", files))
    names = expected_names(files)
    assert list(store.names) == names
    assert names.index("Atlantean/character04") < names.index("Balinese/character01")
    assert (store.counts == DRAWINGS).all()
    assert store.max_value == 1
    ordered = sorted(files, key=lambda name: name.split("/")[1:])
    assert np.array_equal(store.images, np.stack([decode_drawing(files[n])[0] for n in ordered]))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_order_on_disk_does_not_matter(tmp_path: Path, files: Files, layout: str) -> None:
    one = load_omniglot(LAYOUTS[layout](tmp_path / "one", files), seed=3)
    other = load_omniglot(LAYOUTS[layout](tmp_path / "other", shuffled(files)), seed=3)
    assert one.checksum == other.checksum
    assert one.pools["train"].names == other.pools["train"].names
    assert np.array_equal(one.images, other.images)


SYSTEM = ("._0001_01.png", ".hidden.png", "Thumbs.db", "Icon\r")
SYSTEM_FOLDERS = (".ipynb_checkpoints", "@eaDir", "$RECYCLE.BIN", "lost+found", "__MACOSX")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_systems_keep_for_themselves_is_no_drawing(
    tmp_path: Path, files: Files, layout: str
) -> None:
    junk = {}
    for name, data in files.items():
        folder, drawing = name.rsplit("/", 1)
        alphabet = folder.rsplit("/", 1)[0]
        junk |= {f"{folder}/{system}": b"junk" for system in SYSTEM}
        junk |= {f"{around}/{system}/{drawing}": data
                 for system in SYSTEM_FOLDERS for around in (alphabet, folder)}  # fmt: skip
    clean = open_omniglot_store(LAYOUTS[layout](tmp_path / "clean", files))
    store = open_omniglot_store(LAYOUTS[layout](tmp_path / "data", {**files, **junk}))
    assert store.checksum == clean.checksum
    assert notes_on(store) == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_endings_and_other_files(tmp_path: Path, files: Files, layout: str) -> None:
    """.PNG is a drawing; what is none, but in a character's folder, is said."""
    upper = {name.replace(".png", ".PNG"): data for name, data in files.items()}
    folder = next(iter(files)).rsplit("/", 1)[0]
    more = {f"{folder}/{name}": b"x" for name in ("README", "notes.pdf", "a.jpg")}
    store = open_omniglot_store(LAYOUTS[layout](tmp_path / "data", {**upper, **more}))
    assert list(store.names) == expected_names(files)
    assert (store.counts == DRAWINGS).all()
    (note,) = notes_on(store)
    assert "2 files of no image format (" in note
    assert "1 image of another format than PNG (" in note


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_around_the_alphabets(tmp_path: Path, files: Files, layout: str) -> None:
    LAYOUTS[layout](tmp_path / "data" / "omniglot" / "python", files)
    assert list(open_omniglot_store(tmp_path / "data").names) == expected_names(files)


def test_archives_by_any_case_and_folders_in_themselves(tmp_path: Path, files: Files) -> None:
    folder = write_zips(tmp_path / "data", files)
    (folder / "images_background.zip").rename(folder / "images_background.ZIP")
    with zipfile.ZipFile(folder / "images_evaluation.zip") as archive:
        archive.extractall(folder / "images_evaluation")
    (folder / "images_evaluation.zip").unlink()
    assert list(open_omniglot_store(folder).names) == expected_names(files)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_drawings_at_other_depths_make_no_classes(
    tmp_path: Path, files: Files, layout: str
) -> None:
    """Neither beside the characters nor below them."""
    name = next(iter(files))
    alphabet, character, _ = name.rsplit("/", 2)
    more = {
        f"{alphabet}/loose.png": files[name],
        f"{alphabet}/{character}/again/x.png": files[name],
    }
    before = open_omniglot_store(LAYOUTS[layout](tmp_path / "before", files))
    folder = LAYOUTS[layout](tmp_path / "data" / "wrapper", {**files, **more})
    store = open_omniglot_store(folder.parent)
    assert store.names == before.names
    assert len(store.images) == len(before.images) + 1
    (note,) = notes_on(store)
    assert "left out 1 image in no character's folder" in note
    assert "loose.png" in note


def test_drawings_in_few_levels_are_counted(tmp_path: Path, files: Files) -> None:
    changed = [*files][:4]
    faint, full = {}, {}
    for name, light in zip(changed, (1, 1, 3, 5), strict=True):
        levels = np.kron(noise(light)[:7, :7], np.ones((15, 15), np.uint8))
        faint[name] = encoded(Image.fromarray(levels * np.uint8(light)), "PNG")
        full[name] = png(levels == 0)
    clean = open_omniglot_store(write_folder(tmp_path / "clean", {**files, **full}))
    store = open_omniglot_store(write_folder(tmp_path / "data", {**files, **faint}))
    assert store.checksum == clean.checksum
    assert notes_on(clean) == []
    (note,) = notes_on(store)
    start = f"data: 4 of {len(files)} images were stretched from low to full contrast: "
    assert note == start + ", ".join(sorted(changed)[:3]) + " and 1 more"


def test_an_archive_with_backslashes_in_its_paths(tmp_path: Path, files: Files) -> None:
    before = open_omniglot_store(write_zips(tmp_path / "before", files))
    for part in CHARACTERS:
        with zipfile.ZipFile(tmp_path / f"{part}.zip", "w") as archive:
            for name, data in files.items():
                if name.startswith(part):
                    archive.writestr(name.replace("/", "\\"), data)
    assert open_omniglot_store(tmp_path).names == before.names


def test_every_broken_drawing_is_named(tmp_path: Path, files: Files) -> None:
    cut = [*files][:4]
    folder = write_folder(tmp_path / "data", {**files, **{n: files[n][:60] for n in cut}})
    message = refusal(folder, None, 0)
    assert f"4 of {len(files)} images are broken" in message
    assert all(name in message for name in cut)
    store = open_omniglot_store(folder, skip_broken=True)
    assert len(store.images) == len(files) - 4


def test_one_archive_of_the_two_is_enough(tmp_path: Path, files: Files) -> None:
    folder = write_zips(tmp_path / "data", files)
    (folder / "images_evaluation.zip").unlink()
    names = expected_names(name for name in files if name.startswith("images_background"))
    assert list(open_omniglot_store(folder).names) == names


def test_an_empty_folder_hides_no_archive(tmp_path: Path, files: Files) -> None:
    folder = write_zips(tmp_path / "data", files)
    (folder / "images_background").mkdir()
    assert list(open_omniglot_store(folder).names) == expected_names(files)


def test_a_store_of_drawings_is_read_as_it_is(tmp_path: Path, files: Files) -> None:
    store = open_omniglot_store(write_folder(tmp_path / "data", files))
    assert store.folder is not None
    again = load_omniglot(store.folder, seed=0)
    assert again.checksum == store.checksum
    assert len(again.pools["train"].names) == 4 * train_share(21)


@pytest.mark.parametrize(
    ("shape", "splits"),
    [((28, 28, 3), {}), ((84, 84, 1), {}), ((28, 28, 1), {"train": [0], "val": [1], "test": [2]})],
)
def test_a_store_of_other_images_is_refused(tmp_path: Path, shape: tuple, splits: dict) -> None:
    index = StoreIndex(("a", "b", "c"), (2, 2, 2), shape, 255, splits)
    write_store(tmp_path / "store", index, lambda pixels: pixels.fill(0))
    with pytest.raises(UserError, match=f"{tmp_path}/store: a store, but not of Omniglot"):
        load_omniglot(tmp_path / "store", seed=0)


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_the_split_is_the_standard_librarys_shuffle(
    tmp_path: Path, files: Files, seed: int
) -> None:
    dataset = load_omniglot(write_zips(tmp_path / "data", files), seed)
    names = expected_names(files)
    random.Random(seed).shuffle(names)
    train = round(len(names) * 1200 / 1623)
    assert list(dataset.pools["train"].names[:train]) == names[:train]
    assert list(dataset.pools["test"].names) == names[train:]
    assert set(dataset.pools) == {"train", "test"}
    assert dataset.monitored == ("train", "test")


def test_only_training_characters_are_turned(tmp_path: Path, files: Files) -> None:
    dataset = load_omniglot(write_zips(tmp_path / "data", files), seed=0)
    pool = dataset.pools["train"]
    upright = len(pool.names) // 4
    assert len(pool.names) == len(set(pool.names)) == 4 * train_share(21)
    classes = [dataset.images[s : s + n] for s, n in zip(pool.starts, pool.counts, strict=True)]
    for quarter in (1, 2, 3):
        for number in range(upright):
            turned = quarter * upright + number
            assert pool.names[turned] == f"{pool.names[number]} turned by {90 * quarter}"
            for before, after in zip(classes[number], classes[turned], strict=True):
                assert np.array_equal(after, np.rot90(before, quarter))
    assert not any("turned" in name for name in dataset.pools["test"].names)


def test_every_pool_reads_its_own_drawings(tmp_path: Path, files: Files) -> None:
    dataset = load_omniglot(write_folder(tmp_path / "data", files), seed=0, val_classes=4)
    for split, pool in dataset.pools.items():
        upright = [i for i, name in enumerate(pool.names) if "turned" not in name]
        for i in upright:
            drawings = sorted(name for name in files if f"/{pool.names[i]}/" in name)
            expected = np.stack([decode_drawing(files[name])[0] for name in drawings])
            rows = slice(pool.starts[i], pool.starts[i] + pool.counts[i])
            assert np.array_equal(dataset.images[rows], expected), split


def test_validation_classes_are_training_characters(tmp_path: Path, files: Files) -> None:
    folder = write_zips(tmp_path / "data", files)
    whole, held_out = load_omniglot(folder, seed=0), load_omniglot(folder, 0, val_classes=5)
    left = train_share(21) - 5
    assert held_out.pools["test"].names == whole.pools["test"].names
    before = whole.pools["train"].names[: left + 5]
    assert (*held_out.pools["train"].names[:left], *held_out.pools["val"].names) == before
    assert len(held_out.pools["train"].names) == 4 * left
    assert held_out.monitored == ("train", "val")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_second_opening_decodes_nothing(
    tmp_path: Path, files: Files, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = LAYOUTS[layout](tmp_path / "data", files)
    first = open_omniglot_store(folder)
    monkeypatch.setattr(omniglot, "decode_drawing", lambda _: pytest.fail("decoded again"))
    assert open_omniglot_store(folder).checksum == first.checksum


def test_changed_drawings_are_decoded_again(tmp_path: Path, files: Files) -> None:
    folder = write_folder(tmp_path / "data", files)
    before = open_omniglot_store(folder)
    path = folder / next(iter(files))
    path.write_bytes(png(noise(99)))
    os.utime(path, ns=(0, 0))
    assert open_omniglot_store(folder).checksum != before.checksum


def test_an_unfinished_cache_is_made_again(tmp_path: Path, files: Files) -> None:
    folder = write_folder(tmp_path / "data", files)
    before = open_omniglot_store(folder)
    (tmp_path / "cache").rename(tmp_path / "old")
    for images in (tmp_path / "old").glob("*/images.npy"):
        os.truncate(images, 1000)
    (tmp_path / "old").rename(tmp_path / "cache")
    assert open_omniglot_store(folder).checksum == before.checksum
    for index in (tmp_path / "cache").glob("*/store.json"):
        index.unlink()
    assert open_omniglot_store(folder).checksum == before.checksum


@pytest.fixture
def single(tmp_path: Path, files: Files) -> tuple[Path, bytes]:
    """The path of the only drawing of a data set, and its bytes."""
    name, data = next(iter(files.items()))
    write_alphabets(tmp_path / "data", {name: data})
    return tmp_path.joinpath("data", *name.split("/")[1:]), data


def named(drawing: Path) -> str:
    return "/".join(drawing.parts[-3:])


def refusal(folder: Path, file: Path | None, number: int) -> str | None:
    """The message with which a data set is refused; None if it is read.

    `number` makes `file` differ from all its earlier contents in its time.
    """
    if file:
        os.utime(file, ns=(number, number))
    try:
        open_omniglot_store(folder)
    except UserError as error:
        return str(error)
    return None


def test_a_drawing_cut_anywhere_is_named(single: tuple[Path, bytes]) -> None:
    path, data = single
    end = data.index(b"IEND") - 4 - 8  # after which only checksums and the end mark are missing
    for length in range(0, end, 7):
        path.write_bytes(data[:length])
        message = refusal(path.parents[2], path, length)
        assert message, f"cut to {length} of {len(data)} bytes"
        assert named(path) in message


def test_a_damaged_drawing_is_named_or_read(single: tuple[Path, bytes]) -> None:
    path, data = single
    for place in range(0, len(data), 3):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        message = refusal(path.parents[2], path, place)
        assert message is None or named(path) in message


def test_an_image_of_absurd_size_is_named(single: tuple[Path, bytes]) -> None:
    path, data = single
    header = data[12:16] + struct.pack(">II", 60_000, 60_000) + data[24:29]
    path.write_bytes(data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:])
    message = refusal(path.parents[2], path, 0)
    assert message is not None
    assert named(path) in message


def test_a_damaged_archive_is_named_or_read(tmp_path: Path, files: Files) -> None:
    name, data = next(iter(files.items()))
    folder = write_zips(tmp_path / "data", {name: data})
    (folder / "images_evaluation.zip").unlink()
    path = folder / "images_background.zip"
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        message = refusal(folder, path, place)
        assert message is None or str(folder) in message
        path.write_bytes(whole[:place])
        message = refusal(folder, path, 10**9 + place)
        assert message is not None
        assert str(path) in message


def test_a_damaged_member_of_another_compression_is_named(tmp_path: Path, files: Files) -> None:
    name, data = next(iter(files.items()))
    with zipfile.ZipFile(tmp_path / "images_background.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr(name, data)
    path = tmp_path / "images_background.zip"
    whole = path.read_bytes()
    start = whole.index(name.encode()) + len(name) + 9  # after the properties of the compression
    path.write_bytes(whole[:start] + b"\xff" * 20 + whole[start + 20 :])
    message = refusal(tmp_path, path, 0)
    assert message is not None
    assert f"images_background.zip/{name} (it is damaged inside its archive" in message


def test_an_archive_without_drawings_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "images_background.zip", "w") as archive:
        archive.writestr("images_background/readme.txt", b"soon")
    message = refusal(tmp_path, None, 0)
    assert message is not None
    assert str(tmp_path) in message
    assert "./fetch_data.sh" in message


def test_a_refused_data_set_leaves_no_cache(tmp_path: Path, single: tuple[Path, bytes]) -> None:
    path, data = single
    path.write_bytes(data[:60])
    assert refusal(path.parents[2], path, 0)
    assert not list((tmp_path / "cache").glob("*"))
    path.write_bytes(data)
    assert open_omniglot_store(path.parents[2]).images.shape == (1, 28, 28, 1)


def test_an_unwritable_cache_is_one_sentence(
    tmp_path: Path, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("REPTILE_CACHE", str(tmp_path / "file" / "cache"))
    message = refusal(write_folder(tmp_path / "data", files), None, 0)
    assert message is not None
    assert str(tmp_path / "file" / "cache") in message


PROBE = """
import importlib, pkgutil, sys
import supervised_reptile.data as data
for module in pkgutil.iter_modules(data.__path__):
    importlib.import_module(f"supervised_reptile.data.{module.name}")
import run_omniglot
print([name for name in ("tensorflow", "matplotlib") if name in sys.modules])
"""


def test_reading_data_does_without_tensorflow() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def real_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the real drawings are decoded, once for all tests."""
    return made_once(tmp_path_factory, "cache", Path.mkdir)


def test_the_real_omniglot(real_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = real_omniglot()
    monkeypatch.setenv("REPTILE_CACHE", str(real_cache))
    dataset = load_omniglot(folder, seed=0)
    store = open_omniglot_store(folder)
    assert len(store.names) == 1623
    assert (store.counts == 20).all()
    assert store.images.shape == (32460, 28, 28, 1)
    assert set(np.unique(store.images)) == {0, 1}
    assert 0.85 < np.asarray(store.images).mean() < 0.97  # mostly paper
    names = members_of(folder)
    random.Random(0).shuffle(names)
    assert list(dataset.pools["train"].names[:1200]) == names[:1200]
    assert len(dataset.pools["train"].names) == 4800
    assert list(dataset.pools["test"].names) == names[1200:]
    assert len(names[1200:]) == 423


def members_of(folder: Path) -> list[str]:
    """The real characters, sorted, by the archives' tables of contents alone."""
    members = []
    for archive in folder.glob("*.zip"):
        members += [n for n in zipfile.ZipFile(archive).namelist() if n.endswith(".png")]
    return expected_names(members)


def test_real_archives_and_folders_agree(
    tmp_path: Path, real_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = real_omniglot()
    with zipfile.ZipFile(folder / "images_evaluation.zip") as archive:
        some = [n for n in archive.namelist() if "/Kannada/" in n or "/Tibetan/" in n]
        archive.extractall(tmp_path / "data", some)
    shutil.rmtree(tmp_path / "data" / "__MACOSX", ignore_errors=True)
    few = open_omniglot_store(tmp_path / "data")
    monkeypatch.setenv("REPTILE_CACHE", str(real_cache))
    store = open_omniglot_store(folder)
    assert "Tibetan/character42" in few.names
    for number, name in enumerate(few.names):
        whole = store.names.index(name)
        assert np.array_equal(
            few.images[few.offsets[number] : few.offsets[number + 1]],
            store.images[store.offsets[whole] : store.offsets[whole + 1]],
        )


@pytest.mark.parametrize("kind", ["mask", "faint", "10 bits", "16 bits", "floats", "transparency"])
def test_drawings_that_one_bit_would_lose_are_read(kind: str) -> None:
    shape = Image.new("1", (105, 105), 1)
    ImageDraw.Draw(shape).line((20, 20, 20, 80, 70, 80), 0, 6)
    paper, black = np.asarray(shape).astype(np.uint8), Image.new("L", (105, 105))
    image = {
        "mask": Image.fromarray(paper),
        "faint": Image.fromarray(100 + 3 * paper),
        "10 bits": Image.fromarray(paper * np.uint16(1000)),
        "16 bits": Image.fromarray(paper * np.uint16(60_000)),
        "floats": Image.fromarray(paper.astype(np.float32)),
        "transparency": Image.merge("LA", [black, Image.fromarray(255 - 255 * paper)]),
    }[kind]
    wanted, found = io.BytesIO(), io.BytesIO()
    shape.save(wanted, "PNG")
    image.save(found, "TIFF" if kind == "floats" else "PNG")
    drawing = decode_drawing(found.getvalue())[0]
    assert np.array_equal(drawing, decode_drawing(wanted.getvalue())[0])
    assert 0 < drawing.mean() < 1
