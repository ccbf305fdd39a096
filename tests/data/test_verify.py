"""`reptile data verify` and `info`: what is there, what is missing, and the verdict."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from command_line import edit_json
from made_images import encoded, picture, pictures, write_folders, write_zip
from PIL import Image

from supervised_reptile.cli.data import data
from supervised_reptile.data.duplicates import equal_images
from supervised_reptile.data.miniimagenet import import_miniimagenet
from supervised_reptile.data.official_sets import miniimagenet_classes, readable_name
from supervised_reptile.data.store import StoreIndex, open_store, write_store
from supervised_reptile.data.verify import verify
from supervised_reptile.errors import UserError


def run(*arguments: object) -> tuple[int, list[str]]:
    result = CliRunner().invoke(data, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout.splitlines()


def official_store(folder: Path, names: dict[str, list[str]], images: int = 600) -> Path:
    """A store of noise with the given classes."""
    labels = [label for split in names.values() for label in split]
    ends = np.cumsum([len(split) for split in names.values()])
    ids = [list(range(end - len(s), end)) for s, end in zip(names.values(), ends, strict=True)]
    index = StoreIndex(
        tuple(labels),
        (images,) * len(labels),
        (3, 3, 3),
        255,
        dict(zip(names, ids, strict=True)),
        files=tuple(f"{n:05d}.jpg" for _ in labels for n in range(images)),
    )

    def fill(pixels: np.ndarray) -> None:
        pixels[:] = np.random.default_rng(0).integers(0, 256, pixels.shape, np.uint8)

    write_store(folder, index, fill)
    return folder


def names() -> dict[str, list[str]]:
    return {split: list(classes) for split, classes in miniimagenet_classes().items()}


def test_the_published_split() -> None:
    assert [len(split) for split in names().values()] == [64, 16, 20]
    assert len({label for split in names().values() for label in split}) == 100
    assert readable_name("n01532829") == "house finch"
    assert readable_name("cats") == "cats"


def test_complete(tmp_path: Path) -> None:
    code, lines = run("verify", official_store(tmp_path / "s", names()))
    assert code == 0
    assert lines[-1] == "complete: 100 classes of 600 images, as published"
    assert "train       64  38,400  600/600/600" in lines
    assert "pairs of exact duplicates: 0" in lines
    assert "unreadable files: 0" in lines


def test_usable_with_other_classes(tmp_path: Path) -> None:
    changed = names()
    changed["train"][0] = "n00000000"
    changed["val"][0], changed["test"][0] = changed["test"][0], changed["val"][0]
    report = verify(official_store(tmp_path / "s", changed, images=5))
    found = {difference.summary: difference.classes for difference in report.differences}
    assert found["classes missing from train: 1"] == ("n01532829",)
    assert found["classes in train outside the official split: 1"] == ("n00000000",)
    assert found["classes missing from val: 1"] == ("n01855672",)
    assert found["classes in val outside the official split: 1"] == ("n01930112",)
    assert len(found["classes that do not have 600 images: 100"]) == 100
    assert report.verdict == "usable: classes missing from train: 1"
    assert not report.is_broken


def test_damaged_pixels_are_broken(tmp_path: Path) -> None:
    folder = official_store(tmp_path / "s", names(), images=2)
    with (folder / "images.npy").open("r+b") as file:
        file.seek(500)
        file.write(b"damage")
    code, lines = run("verify", folder)
    assert code == 1
    assert lines[-1].startswith(f"broken: the pixels in {folder} are not those")


def test_checksums_of_older_stores_are_ignored_and_replaced_with_the_store(tmp_path: Path) -> None:
    folder = official_store(tmp_path / "s", names(), images=2)
    whole = np.asarray(open_store(folder).images)
    (folder / "checksums.npy").write_bytes(b"of an older program")
    edit_json(folder / "store.json", lambda content: content.update(files={"checksums.npy": ""}))
    assert np.array_equal(open_store(folder).images, whole)
    official_store(folder, names(), images=2)
    assert not (folder / "checksums.npy").exists()


def test_objects_for_pixels_are_refused(tmp_path: Path) -> None:
    folder = official_store(tmp_path / "s", names(), images=2)
    np.save(folder / "images.npy", np.array([{}], object))
    with pytest.raises(UserError, match="not a readable image store"):
        open_store(folder)


@pytest.mark.parametrize("gone", ["images.npy", "store.json", "files.json"])
def test_damaged_stores_are_broken(gone: str, tmp_path: Path) -> None:
    folder = official_store(tmp_path / "s", names(), images=2)
    (folder / gone).write_bytes(b"[")
    code, lines = run("verify", folder)
    if gone == "files.json":
        code, lines = run("verify", with_duplicate(folder))
    assert code == 1
    assert lines[-1].startswith("broken: ")
    assert str(folder) in lines[-1]


def with_duplicate(folder: Path) -> Path:
    """Names are needed only where there is something to name."""
    images = np.load(folder / "images.npy", mmap_mode="r+")
    images[1] = images[0]
    return folder


def test_a_store_needs_train_and_one_other_split(tmp_path: Path) -> None:
    changed = {"train": names()["train"], "test": names()["test"]}
    code, lines = run("verify", official_store(tmp_path / "s", changed, images=2))
    assert (code, lines[-1]) == (0, "usable: classes missing from val: 16")
    changed = {"val": names()["val"], "test": names()["test"]}
    code, lines = run("verify", official_store(tmp_path / "t", changed, images=2))
    assert (code, lines[-1]) == (1, "broken: no classes in train")


def test_raw_data_with_unreadable_files_are_broken(tmp_path: Path) -> None:
    write_folders(tmp_path / "in", pictures())
    write_folders(tmp_path / "in", {("val", "n01855672", "a.jpg"): b"<html>no</html>"})
    (tmp_path / "in/test/n09999999").mkdir()
    code, lines = run("verify", tmp_path / "in")
    assert (code, lines[-1]) == (1, "broken: unreadable files: 1 (val/n01855672/a.jpg)")
    named = [line for line in lines if line.startswith("  val/n01855672/a.jpg: it is an HTML page")]
    assert len(named) == 1
    assert "classes without an image: test/n09999999" in lines

    import_miniimagenet(tmp_path / "in", tmp_path / "out", skip_broken=True)
    code, lines = run("verify", tmp_path / "out")
    assert (code, lines[-1]) == (0, "usable: broken images left out at import: 1")


def test_duplicates_are_counted_and_named(tmp_path: Path) -> None:
    made = dict(pictures())
    same = encoded(picture(1000))
    for split, label in (("train", "n01532829"), ("train", "n01558993"), ("test", "n01930112")):
        made[split, label, "same.jpg"] = same
    made["test", "n01930112", "same again.jpg"] = same
    report = verify(write_folders(tmp_path, made))
    assert report.duplicates.total == 6
    assert report.duplicates.counts == {
        ("train", "train"): 1,
        ("test", "test"): 1,
        ("train", "test"): 4,
    }
    assert ("train/n01532829/same.jpg", "train/n01558993/same.jpg") in report.duplicates.names
    assert "  4 across train and test" in list(report.lines())


def test_equal_images_are_equal_in_every_pixel() -> None:
    images = np.zeros((6, 2, 2, 1), np.uint8)
    images[[1, 4]] = 9
    images[2, 0, 0] = 1
    assert equal_images(images) == [[0, 3, 5], [1, 4]]


def test_own_images_are_usable(tmp_path: Path) -> None:
    write_folders(tmp_path, {(f"c{n}", f"{n}.png"): encoded(picture(n), "PNG") for n in range(5)})
    code, lines = run("verify", tmp_path)
    assert code == 0
    assert lines[-1] == "usable: own images, with no official set to compare with"


def test_an_archive_beside_ones_images_is_passed_over(tmp_path: Path) -> None:
    own = {(f"c{n}", f"{n}.png"): encoded(picture(n), "PNG") for n in range(5)}
    for folder in (write_folders(tmp_path / "own", own), write_alphabets(tmp_path / "drawn", 2)):
        alone = run("verify", folder)
        write_zip(folder / "backup.zip", {"notes.txt": b"mine"})
        assert run("verify", folder) == alone
        assert alone[1][-1].startswith("usable: ")


def test_an_archive_of_everything_is_found_alone_in_its_folder(tmp_path: Path) -> None:
    members = {"/".join(parts): content for parts, content in pictures().items()}
    write_zip(tmp_path / "mini.zip", members)
    (tmp_path / "notes").mkdir()
    assert run("verify", tmp_path) == run("verify", tmp_path / "mini.zip")
    assert run("verify", tmp_path)[1][0] == "Mini-ImageNet: 18 images of 84x84x3"


def write_alphabets(root: Path, characters: int) -> Path:
    made = {}
    for number in range(characters * 20):
        character, drawing = divmod(number, 20)
        values = np.random.default_rng(number).integers(0, 2, (105, 105), np.uint8) * 255
        image = Image.fromarray(values).convert("1")
        parts = ("Greek", f"character{character + 1:02d}", f"{drawing:02d}.png")
        made[parts] = encoded(image, "PNG")
    return write_folders(root, made)


def test_names_that_are_not_utf8_and_links_to_themselves(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    for seed, label in enumerate(("one", "not utf-8 \udcff")):
        (root / label).mkdir(parents=True)
        picture(seed).save(root / label / "1.png")
        (root / label / "itself.png").symlink_to("itself.png")
    (root / "itself").symlink_to("itself")
    done = CliRunner().invoke(data, ["verify", str(root)])
    assert done.output.splitlines()[-1].startswith("usable")
    done = CliRunner().invoke(data, ["info", str(root), "--out", str(tmp_path / "sheet.png")])
    assert (tmp_path / "sheet.png").exists()


def test_alphabets_are_compared_with_omniglot(tmp_path: Path) -> None:
    code, lines = run("verify", write_alphabets(tmp_path, 2))
    assert code == 0
    assert lines[0] == "alphabets of characters: 40 images of 28x28x1"
    assert lines[-1].startswith("usable: 2 characters in 1 alphabet, where Omniglot has 1,623")


def test_other_folders_in_an_alphabet_do_not_hide_it(tmp_path: Path) -> None:
    root = write_alphabets(tmp_path, 2)
    for name in ("docs/notes.txt", "scans/page.jpg"):
        (root / "Greek" / name).parent.mkdir()
        (root / "Greek" / name).write_text("no drawing")
    _, lines = run("verify", root)
    assert lines[0] == "alphabets of characters: 40 images of 28x28x1"
    assert any("2 classes without an image (Greek/docs, Greek/scans)" in line for line in lines)


def test_missing_and_broken_drawings_are_all_named(tmp_path: Path) -> None:
    root = write_alphabets(tmp_path, 23)  # of Greek's 24
    cut = [root / "Greek" / f"character{n:02d}" / "03.png" for n in (2, 5, 9)]
    for path in cut:
        path.write_bytes(path.read_bytes()[:80])
    code, lines = run("verify", root)
    assert code == 1
    assert lines[-1].startswith("broken: unreadable files: 3 (Greek/character02/03.png, ")
    for path in cut:
        assert any(line.startswith(f"  {path.relative_to(root)}: ") for line in lines)
    assert "difference: missing alphabets: 49" in lines
    assert {"  Tagalog", "  Japanese_(katakana)"} <= set(lines)
    start = lines.index("difference: missing characters: 1")
    assert lines[start + 1] == "  Greek/character24"


@pytest.mark.parametrize("make", [lambda root: root, lambda root: root / "missing"])
def test_nothing_there_is_broken(make, tmp_path: Path) -> None:
    code, lines = run("verify", make(tmp_path))
    assert code == 1
    assert len(lines) == 1
    assert lines[0].startswith("broken: ")


def test_info_draws_a_contact_sheet(tmp_path: Path) -> None:
    write_folders(tmp_path / "in", pictures())
    code, lines = run("info", tmp_path / "in", "--out", tmp_path / "sheets" / "sheet.png")
    assert code == 0
    assert lines[0] == "Mini-ImageNet: 18 images of 84x84x3"
    with Image.open(tmp_path / "sheets" / "sheet.png") as sheet:
        assert sheet.mode == "RGB"
        assert len(sheet.getcolors(1 << 20)) > 1000  # pictures, not blank paper


def test_info_of_small_grey_drawings(tmp_path: Path) -> None:
    code, _ = run("info", write_alphabets(tmp_path / "in", 1), "--out", tmp_path / "sheet.png")
    assert code == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.getpixel((sheet.width - 1, sheet.height - 1)) == (255, 255, 255)


def test_import_says_what_it_did(tmp_path: Path) -> None:
    write_folders(tmp_path / "in", pictures())
    write_folders(tmp_path / "in", {("val", "n01855672", "a.jpg"): b""})
    arguments = ("import", tmp_path / "in", "--out", tmp_path / "out", "--image-size", 20)
    code, lines = run(*arguments, "--skip-broken")
    assert code == 0
    assert lines[0] == "Mini-ImageNet: 18 images of 20x20x3"
    assert "in: left out 1 broken image (val/n01855672/a.jpg)" in lines
    assert lines[-1] == f"wrote {tmp_path / 'out'}"


@pytest.mark.skipif("REPTILE_DATA" not in os.environ, reason="REPTILE_DATA is not set")
def test_the_real_omniglot_is_complete() -> None:
    code, lines = run("verify", Path(os.environ["REPTILE_DATA"]) / "omniglot")
    assert code == 0
    assert not any("left out" in line for line in lines)
    assert lines[-1] == "complete: 1,623 classes of 20 images, as published"


def test_a_name_of_several_lines_is_told_in_one(tmp_path: Path) -> None:
    (tmp_path / "new\nline").mkdir()
    code, lines = run("verify", tmp_path / "new\nline")
    assert code == 1
    assert lines[-1].startswith("broken: ")
    assert "new\\nline" in lines[-1]
