"""Your own images: everything that people's folders hold works, or is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_images import CLASSES, encoded, picture, pictures, write_folders
from PIL import Image

from supervised_reptile.data.import_layout import notes_on
from supervised_reptile.data.layouts.layout import SPLITS
from supervised_reptile.data.own_images import open_folder, split_classes
from supervised_reptile.errors import UserError


def own(root: Path, classes: int = 6, size: tuple[int, int] = (50, 50), mode: str = "RGB") -> Path:
    """Class folders of three pictures each."""
    for number in range(classes * 3):
        path = root / f"class {number // 3}" / f"{number % 3}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(number, size).convert(mode).save(path)
    return root


def test_photographs_of_all_sorts(tmp_path: Path) -> None:
    own(tmp_path, size=(120, 90))
    odd = tmp_path / "class 0"
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(1, (300, 200)).save(odd / "turned.jpg", exif=exif)
    picture(2).convert("CMYK").save(odd / "print.jpg")
    picture(3).convert("RGBA").save(odd / "transparent.png")
    picture(4).quantize(8).save(odd / "palette.gif")
    Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64)).save(odd / "16 bit.png")
    Image.new("1", (5, 400)).save(odd / "long.bmp")
    (odd / "no ending").write_bytes(encoded(picture(5), "PNG"))
    (odd / ".DS_Store").write_bytes(b"x")
    (odd / "._turned.jpg").write_bytes(b"x")
    (tmp_path / ".cache").mkdir()
    (odd / "notes.txt").write_text("mine")
    (odd / "more").mkdir()
    (tmp_path / "loose.png").write_bytes(encoded(picture(6), "PNG"))
    store = open_folder(tmp_path)
    assert store.image_shape == (84, 84, 3)
    assert store.counts.tolist() == [10, 3, 3, 3, 3, 3]
    assert notes_on(store) == [
        f"{tmp_path.name}: left out 1 image beside the class folders (loose.png); "
        "1 file of no image format (class 0/notes.txt)",
        f"{tmp_path.name}: 1 of 25 images was stretched from low to full contrast: "
        "class 0/16 bit.png",
    ]
    row = store.files.index("turned.jpg")
    with Image.open(odd / "turned.jpg") as image:
        upright = image.transpose(Image.Transpose.ROTATE_270).resize((84, 84), Image.LANCZOS)
    assert np.array_equal(store.images[row], np.asarray(upright))


@pytest.mark.parametrize(
    ("size", "mode", "shape"),
    [
        ((28, 28), "L", (28, 28, 1)),
        ((28, 28), "1", (28, 28, 1)),
        ((50, 50), "RGB", (50, 50, 3)),
        ((200, 200), "RGB", (84, 84, 3)),
        ((60, 50), "L", (84, 84, 1)),
    ],
)
def test_the_shape_follows_the_images(size, mode: str, shape, tmp_path: Path) -> None:
    assert open_folder(own(tmp_path, size=size, mode=mode)).image_shape == shape


def test_one_coloured_image_makes_all_colour(tmp_path: Path) -> None:
    own(tmp_path, mode="L")
    picture(1, (50, 50)).save(tmp_path / "class 5" / "colour.png")
    assert open_folder(tmp_path).image_shape == (50, 50, 3)


@pytest.mark.parametrize(("grey", "channels"), [(True, 1), (False, 3)])
def test_the_shape_can_be_asked_for(grey: bool, channels: int, tmp_path: Path) -> None:
    store = open_folder(own(tmp_path), image_size=32, grey=grey)
    assert store.image_shape == (32, 32, channels)


def test_the_split_is_seeded_and_disjoint(tmp_path: Path) -> None:
    own(tmp_path, classes=25)
    first, again, other = (open_folder(tmp_path, seed=seed) for seed in (0, 0, 1))
    for split in SPLITS:
        assert np.array_equal(first.splits[split], again.splits[split])
    assert any(not np.array_equal(first.splits[s], other.splits[s]) for s in SPLITS)
    assert [len(first.splits[split]) for split in SPLITS] == [16, 4, 5]
    assert sorted(np.concatenate(list(first.splits.values()))) == list(range(25))
    assert first.folder == other.folder  # decoded once for all divisions


@given(
    st.integers(3, 200),
    st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
    st.integers(0, 5),
)
def test_any_split_divides_all_classes(classes: int, cuts, seed: int) -> None:
    shares = (cuts[0], cuts[1] - cuts[0], 1 - cuts[1])
    names = [str(number) for number in range(classes)]
    splits = split_classes(Path("x"), names, shares, seed)
    assert sorted(np.concatenate(list(splits.values()))) == list(range(classes))
    for share, split in zip(shares, SPLITS, strict=True):
        assert bool(len(splits[split])) == (share > 0)
        assert abs(len(splits[split]) - share * classes) < 3  # one class at least in each


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.5, 0.5, 0.5), (1.2, -0.2, 0)])
def test_shares_must_add_up(shares, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--split .*add up to 1"):
        open_folder(own(tmp_path), split=shares)


def test_ready_folders_keep_their_split(tmp_path: Path) -> None:
    store = open_folder(write_folders(tmp_path, pictures()))
    assert {split: [store.names[c] for c in ids] for split, ids in store.splits.items()} == {
        split: list(labels) for split, labels in CLASSES.items()
    }


@pytest.mark.parametrize("missing", ["val", "test"])
def test_one_split_beside_train_is_enough(missing: str, tmp_path: Path) -> None:
    write_folders(tmp_path, pictures())
    shutil.rmtree(tmp_path / missing)
    store = open_folder(tmp_path)
    assert missing not in store.splits
    assert notes_on(store) == [f"{tmp_path.name}: has no {missing} classes of its own"]


def test_splits_without_train_are_refused(tmp_path: Path) -> None:
    write_folders(tmp_path, pictures())
    (tmp_path / "train").rename(tmp_path / "other")
    with pytest.raises(UserError, match="for val and test but not for train"):
        open_folder(tmp_path)


def test_a_class_may_be_called_test(tmp_path: Path) -> None:
    own(tmp_path)
    (tmp_path / "class 1").rename(tmp_path / "test")
    assert "test" in open_folder(tmp_path).names


def test_an_empty_class_is_named(tmp_path: Path) -> None:
    own(tmp_path)
    (tmp_path / "nothing yet").mkdir()
    with pytest.raises(UserError, match="no image in the class nothing yet"):
        open_folder(tmp_path)
    assert "nothing yet" not in open_folder(tmp_path, skip_broken=True).names
    with pytest.raises(UserError, match="no image in the class nothing yet"):
        open_folder(tmp_path)  # though it is in the cache by now


def test_broken_images_are_named_or_skipped(tmp_path: Path) -> None:
    own(tmp_path)
    (tmp_path / "class 2" / "cut.png").write_bytes(encoded(picture(0), "PNG")[:200])
    with pytest.raises(UserError, match=r"1 of 19 images is broken: class 2/cut\.png"):
        open_folder(tmp_path)
    store = open_folder(tmp_path, skip_broken=True)
    assert store.provenance["skipped_per_class"] == {"class 2": 1}


def test_changed_folders_are_read_again(tmp_path: Path) -> None:
    before = open_folder(own(tmp_path))
    picture(77, (50, 50)).save(tmp_path / "class 1" / "new.png")
    assert len(open_folder(tmp_path).images) == len(before.images) + 1


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda root: root / "missing", "no such folder"),
        (lambda root: root, "no class folders"),
        (lambda root: own(root, classes=2), "2 classes cannot be divided among 3 splits"),
    ],
)
def test_what_is_wrong_is_said(make, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=complaint):
        open_folder(make(tmp_path))
