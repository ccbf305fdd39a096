"""reptile predict: folders of pictures in, a class for every query out."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small_problem as small
from command_line import Outcome, assert_refused, call, tree
from PIL import Image
from small_problem import small_snapshot

from supervised_reptile import FewShotClassifier
from supervised_reptile.analysis.plots import COLORS
from supervised_reptile.cli.main import reptile
from supervised_reptile.data.contact_sheet import (
    CELL,
    LABEL_WIDTHS,
    drawable,
    fitting,
    label_width,
    sheet_font,
)
from supervised_reptile.runs import open_weights
from supervised_reptile.runs.snapshot import write_npz

CLASSES = ("ant", "bear", "crow")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small problem's weights as a file."""
    path = tmp_path_factory.mktemp("weights") / "small.npz"
    write_npz(path, small_snapshot(inner_rate=0.3, eval_steps=30))
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with support/CLASS/*.png, four of each, and query/*.png, two of each."""
    images = small.small_images()[:21].reshape(3, 7, 8, 8)
    (tmp_path / "query").mkdir()
    for name, some in zip(CLASSES, images, strict=True):
        (tmp_path / "support" / name).mkdir(parents=True)
        for i, image in enumerate(some[:6]):
            place = f"support/{name}/{i}.png" if i < 4 else f"query/{name}-{i}.png"
            Image.fromarray(image).save(tmp_path / place)
    return tmp_path


def predict(folder: Path, weights: Path, *flags: object, query: str = "query") -> Outcome:
    return call(
        "predict", "--checkpoint", weights, "--support", folder / "support",
        "--query", folder / query, *flags, command=reptile,
    )  # fmt: skip


def entries(outcome: Outcome) -> list[dict]:
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


def test_every_query_gets_its_class(pictures: Path, weights: Path) -> None:
    outcome = predict(pictures, weights)
    assert outcome.code == 0, outcome.err
    head, _, *lines = outcome.out.splitlines()
    assert head.split() == ["file", "class", "probability"]
    assert len(lines) == 6
    for line in lines:
        file, name, probability = line.split()
        assert Path(file).exists()
        assert Path(file).name.startswith(name)
        assert 50 < float(probability.rstrip("%")) <= 100
    assert outcome.err == ""  # nothing was changed


def test_json_has_all_probabilities_of_the_classifier(pictures: Path, weights: Path) -> None:
    answers = entries(predict(pictures, weights, "--json"))
    support = sorted((pictures / "support").glob("*/*.png"))
    classifier = FewShotClassifier(weights).fit(support, [path.parent.name for path in support])
    files = sorted((pictures / "query").iterdir())
    wanted = classifier.predict_proba(files)
    for entry, file, row in zip(answers, files, wanted, strict=True):
        assert list(entry) == ["file", "class", "probability", "probabilities"]
        assert entry["file"] == str(file)
        assert list(entry["probabilities"]) == list(CLASSES)
        np.testing.assert_allclose(list(entry["probabilities"].values()), row, atol=1e-6)
        assert entry["class"] == CLASSES[row.argmax()]
        assert entry["probability"] == max(entry["probabilities"].values())


def test_csv_is_the_same(pictures: Path, weights: Path) -> None:
    (pictures / "query" / "a, b.png").write_bytes((pictures / "query/ant-4.png").read_bytes())
    answers = entries(predict(pictures, weights, "--json"))
    outcome = predict(pictures, weights, "--csv")
    rows = list(csv.DictReader(io.StringIO(outcome.out)))
    assert list(rows[0]) == ["file", "class", "probability"]
    for row, entry in zip(rows, answers, strict=True):
        assert (row["file"], row["class"]) == (entry["file"], entry["class"])
        assert float(row["probability"]) == pytest.approx(entry["probability"], rel=1e-5)


def test_queries_are_files_and_folders_each_once(pictures: Path, weights: Path) -> None:
    one, *others = sorted((pictures / "query").iterdir())
    answers = entries(predict(pictures, weights, "--query", one, one, "--json"))
    assert [entry["file"] for entry in answers] == [str(file) for file in (one, *others)]
    answers = entries(predict(pictures, weights, *others, "--json", query=f"query/{one.name}"))
    assert [entry["file"] for entry in answers] == [str(file) for file in (one, *others)]


def test_answers_depend_on_other_queries_only_if_transductive(
    pictures: Path, weights: Path
) -> None:
    for flags, alike in (((), True), (("--transductive",), False)):
        together = entries(predict(pictures, weights, "--json", *flags))[0]
        alone = entries(predict(pictures, weights, "--json", *flags, query="query/ant-4.png"))[0]
        assert together["file"] == alone["file"]
        values = [list(entry["probabilities"].values()) for entry in (together, alone)]
        assert np.allclose(*values, atol=1e-5) == alike


def test_steps_count(pictures: Path, weights: Path) -> None:
    usual = entries(predict(pictures, weights, "--json"))
    assert entries(predict(pictures, weights, "--json", "--steps", 30)) == usual
    assert entries(predict(pictures, weights, "--json", "--steps", 0)) != usual
    assert_refused(predict(pictures, weights, "--steps", -1), "--steps", code=2)


def test_other_sizes_and_formats_are_noted(pictures: Path, weights: Path) -> None:
    before = entries(predict(pictures, weights, "--json"))
    for file in sorted(pictures.rglob("ant*.png")):
        large = Image.open(file).resize((80, 80), Image.Resampling.NEAREST)
        large.convert("RGB").save(file.with_suffix(".bmp"))
        file.unlink()
    outcome = predict(pictures, weights, "--json")
    assert "Note: 2 of 18 pictures were brought to 8x8 pixels\n" in outcome.err
    assert [e["class"] for e in entries(outcome)] == [e["class"] for e in before]


def test_drawings_are_turned_dark_on_light(pictures: Path, tmp_path: Path) -> None:
    weights = tmp_path / "drawings.npz"
    write_npz(weights, small_snapshot(drawings=True))
    for file in pictures.rglob("*.png"):  # a cross, larger for each class
        image = np.zeros((8, 8), np.uint8)
        size = 2 + CLASSES.index(next(c for c in CLASSES if c in str(file)))
        image[3, 1 : 1 + size] = image[1 : 1 + size, 3] = 255
        Image.fromarray(image).save(file)
    before = predict(pictures, weights, "--json")
    assert "Note: 18 of 18 pictures were turned dark on light\n" in before.err
    for file in pictures.rglob("*.png"):
        Image.fromarray(255 - np.asarray(Image.open(file))).save(file)
    after = predict(pictures, weights, "--json")
    assert after.err == ""
    assert entries(after) == entries(before)


def test_queries_that_show_nothing_get_no_answer(pictures: Path, weights: Path) -> None:
    before = entries(predict(pictures, weights, "--json", "--transductive"))
    for name, level in (("black", 0), ("white", 255), ("faint", 7)):
        image = np.full((8, 8), level, np.uint8)
        image[2:5, 3] ^= 7
        Image.fromarray(image).save(pictures / f"query/{name}.png")
    query = pictures / "query"
    outcome = predict(pictures, weights, "--json", "--transductive")
    names = ", ".join(str(query / f"{name}.png") for name in ("black", "faint", "white"))
    assert outcome.err == f"Note: 3 of 9 pictures show nothing: {names}\n"
    answers = {Path(entry["file"]).stem: entry for entry in entries(outcome)}
    for name in ("black", "faint", "white"):
        entry = answers.pop(name)
        assert entry["class"] is entry["probability"] is entry["probabilities"] is None
    assert list(answers.values()) == before  # others do not depend on them
    rows = list(csv.reader(io.StringIO(predict(pictures, weights, "--csv").out)))
    assert [query / "black.png", "", ""] in [[Path(row[0]), *row[1:]] for row in rows[1:]]
    assert predict(pictures, weights).out.count("(shows nothing)") == 3
    alone = predict(
        pictures, weights, "--contact-sheet", pictures / "x.png", query="query/black.png"
    )
    assert alone.code == 0
    assert "Note: 1 of 1 picture shows nothing: " in alone.err
    assert (pictures / "x.png").exists()


def test_a_support_that_shows_nothing_is_refused(pictures: Path, weights: Path) -> None:
    Image.new("RGBA", (8, 8)).save(pictures / "support/bear/9.png")
    outcome = predict(pictures, weights)
    assert_refused(outcome, "1 of 13 pictures shows nothing: ", "support/bear/9.png; replace")


def test_pictures_outside_of_class_folders_are_noted(pictures: Path, weights: Path) -> None:
    shutil.copy(pictures / "query/ant-4.png", pictures / "support")
    (pictures / "support/readme.txt").write_text("about these")
    (pictures / "support/ant/.DS_Store").write_text("")
    (pictures / "support/ant/notes.txt").write_text("about these")
    (pictures / "query/more").mkdir()
    (pictures / "query/bear-4.png").rename(pictures / "query/more/bear-4.png")
    (pictures / "query/notes.txt").write_text("about these")
    outcome = predict(pictures, weights, "--json")
    assert len(entries(outcome)) == 6  # those in folders below, too
    assert outcome.err.splitlines() == [
        f"Note: {pictures / 'support'}: left out 1 image beside the class folders (ant-4.png); "
        "1 file of no image format (ant/notes.txt)",
        f"Note: {pictures / 'query'}: left out 1 file of no image format (notes.txt)",
    ]


def test_folders_around_the_class_folders(pictures: Path, weights: Path) -> None:
    before = entries(predict(pictures, weights, "--json"))
    wrapper = pictures / "support/from a zip/letters"
    (pictures / "support").rename(pictures / "moved")
    wrapper.parent.mkdir(parents=True)
    (pictures / "moved").rename(wrapper)
    shutil.copy(pictures / "query/ant-4.png", pictures / "support")
    outcome = predict(pictures, weights, "--json")
    assert entries(outcome) == before
    note = f"{pictures / 'support'}: left out 1 image beside the class folders (ant-4.png)"
    assert outcome.err == f"Note: {note}\n"
    (wrapper / "dog").mkdir()
    assert_refused(predict(pictures, weights), f"{wrapper / 'dog'}: no pictures in it")


def test_splits_are_no_classes(pictures: Path, weights: Path) -> None:
    for split in ("train", "val", "test"):
        shutil.copytree(pictures / "support", pictures / "data" / split)
    (pictures / "support").rename(pictures / "alone")
    (pictures / "data").rename(pictures / "support")
    assert_refused(predict(pictures, weights), "its folders test, train, val hold class folders")


def test_subfolders_that_may_be_classes_are_noted(pictures: Path, weights: Path) -> None:
    for name in CLASSES:
        for number, place in enumerate(["day", "day", "night", "night"]):
            (pictures / "support" / name / place).mkdir(exist_ok=True)
            picture = pictures / "support" / name / f"{number}.png"
            picture.rename(picture.parent / place / picture.name)
    outcome = predict(pictures, weights)
    shown = "ant/day, ant/night, bear/day and 3 more"
    assert f"every class holds subfolders ({shown}), which count as one class" in outcome.err


def test_the_contact_sheet_shows_everything(pictures: Path, weights: Path) -> None:
    sheet = pictures / "sheet.png"
    outcome = predict(pictures, weights, "--contact-sheet", sheet)
    assert outcome.code == 0, outcome.err
    with Image.open(sheet) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape[0] > 5 * CELL  # three classes, two lines of queries
    bar = np.array([int(COLORS[0][i : i + 2], 16) for i in (1, 3, 5)])
    blue = (pixels == bar).all(axis=2)
    assert 6 * 60 * 10 < blue.sum() < 6 * 170 * 11
    assert_refused(predict(pictures, weights, "--contact-sheet", pictures), "cannot write there")


def test_contact_sheets_write_any_name() -> None:
    font = sheet_font(13)
    names = ["Ελληνικά", "Кириллица", "Größe", "Gro\u0308ße"]
    assert [drawable(name) for name in names] == [*names[:3], "Größe"]
    boxes = [font.getmask("\u6587" * len(name)).getbbox() for name in names]
    assert [font.getmask(name).getbbox() for name in names] != boxes
    assert drawable("文 a\n") == r"\u6587 a\n"
    long = [f"a very long name of a class that begins like others {end}" * 2 for end in "xy"]
    assert label_width(long) == LABEL_WIDTHS[1]
    assert label_width(["a"]) == LABEL_WIDTHS[0] < label_width(["a name of thirty letters or so"])
    shortened = [fitting(name, font, 200) for name in long]
    assert shortened[0] != shortened[1]
    for name in shortened:
        assert "…" in name
        assert 180 < font.getlength(name) <= 200


def test_a_run_directory_will_do(finished: Path, pictures: Path) -> None:
    before = tree(finished)
    answers = entries(predict(pictures, finished, "--json"))
    assert len(answers) == 6
    assert tree(finished) == before


def test_the_weights_that_come_along_are_the_default(
    pictures: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = entries(predict(pictures, weights, "--json"))
    monkeypatch.setattr(open_weights, "pretrained_weights", lambda name: weights)
    words = ["predict", "--support", pictures / "support", "--query", pictures / "query", "--json"]
    assert entries(call(*words, command=reptile)) == usual
    named = call(*words, "--checkpoint", "omniglot-5way", command=reptile)
    assert entries(named) == usual


def test_mistakes_are_told_in_a_line(pictures: Path, weights: Path) -> None:
    support, query = pictures / "support", pictures / "query"

    def refused(*words: str, **other: object) -> None:
        assert_refused(predict(pictures, weights, **other), *words)

    refused("nothing.png", "no such file", query="nothing.png")
    (pictures / "empty").mkdir()
    refused("empty", "no pictures", query="empty")
    (support / "dog").mkdir()
    refused("dog", "no pictures")
    shutil.copy(query / "ant-4.png", support / "dog")
    refused("4 classes", "distinguish at most 3", "--classes 4")
    shutil.rmtree(support / "dog")
    (query / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    refused("broken.png", "not an image")
    (query / "broken.png").write_bytes(b"")
    refused("broken.png", "empty")
    (query / "broken.png").unlink()
    (support / "crow/broken.jpg").write_text("text")
    refused("broken.jpg", "not an image")
    for name in ("bear", "crow"):
        shutil.rmtree(support / name)
    refused("only one class, ant")
    (support / "ant").rename(pictures / "moved")
    refused("no class folders")
    support.rmdir()
    refused("support", "no such folder")
    support.write_bytes(b"an archive")
    refused("support", "not a folder")


def test_wrong_weights_are_told_in_a_line(pictures: Path) -> None:
    assert_refused(predict(pictures, pictures / "none"), "none", "omniglot-5way")
    assert_refused(predict(pictures, pictures), "config.json is missing")
    outcome = call("predict", "--support", pictures, command=reptile)
    assert_refused(outcome, "--query", code=2)


def test_broken_input_is_told_before_tensorflow_is_imported(pictures: Path, weights: Path) -> None:
    (pictures / "query/broken.png").write_text("text")
    program = (
        "import sys\n"
        "from supervised_reptile.cli.main import main\n"
        f"sys.argv[1:] = ['predict', '--checkpoint', {str(weights)!r}, '--support', "
        f"{str(pictures / 'support')!r}, '--query', {str(pictures / 'query')!r}]\n"
        "try:\n    main()\n"
        "finally:\n    assert 'tensorflow' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: "), done.stderr
