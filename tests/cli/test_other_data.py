"""run_miniimagenet.py and `reptile train`, through the real command line on small made images."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import ROOT, Outcome, assert_refused, call, edit_json, flags, script
from made_pictures import picture, write_classes, write_miniimagenet
from PIL import Image

from supervised_reptile.cli.main import reptile

TINY = flags(
    classes=2,
    shots=1,
    train_shots=2,
    inner_batch=2,
    inner_iters=2,
    meta_batch=1,
    meta_iters=4,
    eval_iters=2,
    eval_batch=2,
    eval_samples=6,
    eval_interval=2,
)


def miniimagenet(*arguments: object) -> Outcome:
    return call(*arguments, command=script(ROOT / "run_miniimagenet.py").main)


def train(*arguments: object) -> Outcome:
    return call("train", *arguments, command=reptile)


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in Mini-ImageNet's layout: train, val and test of a few classes."""
    return write_miniimagenet(tmp_path_factory.mktemp("mini"))


@pytest.fixture(scope="module")
def mini_run(mini, tmp_path_factory) -> tuple[Path, Outcome]:
    """A run of run_miniimagenet.py and its output."""
    run = tmp_path_factory.mktemp("mini") / "run"
    return run, miniimagenet("--data-dir", mini, "--checkpoint", run, *TINY)


@pytest.fixture(scope="module")
def own_run(tmp_path_factory) -> tuple[Path, Path]:
    """Ten classes of small grey images, and a run of `reptile train` on them."""
    folder = tmp_path_factory.mktemp("own")
    images, run = write_classes(folder / "images", 10, 20, channels=1), folder / "run"
    how = ("--split", "0.6,0.2,0.2", "--transductive", "--eval-splits", "val")
    done = train(images, "--checkpoint", run, *how, *TINY)
    assert done.code == 0, done.err
    return images, run


@pytest.fixture
def own(own_run, tmp_path) -> tuple[Path, Path]:
    """The same with a run that a test may change."""
    return own_run[0], shutil.copytree(own_run[1], tmp_path / "run")


def test_miniimagenet_watches_validation_and_ends_with_three_accuracies(mini_run):
    _, done = mini_run
    assert done.code == 0, done.err
    assert [line.split(":")[0] for line in done.looks] == ["batch 0", "batch 2"]
    assert all("train=" in line and "val=" in line and "test=" not in line for line in done.looks)
    assert [line.split(":")[0] for line in done.accuracies] == [
        "Train accuracy",
        "Validation accuracy",
        "Test accuracy",
    ]


def test_images_that_show_nothing_are_counted(tmp_path):
    write_classes(tmp_path / "in", 12, 20)
    for name in "abcd":
        Image.new("RGB", (20, 20), "red").save(tmp_path / f"in/in07/{name}.png")
    done = train(tmp_path / "in", "--checkpoint", tmp_path / "run", *TINY)
    assert done.code == 0, done.err
    names = "in07/a.png, in07/b.png, in07/c.png"
    said = f"4 of 48 images show nothing: {names} and 1 more"
    assert f"Note: {said}\n" in done.err
    assert f"\n{said}\n" in call("data", "verify", tmp_path / "in", command=reptile).out


def write_masks(folder: Path, names: str) -> None:
    """A shape in levels 0 and 1, one in each corner."""
    for number, name in enumerate(names):
        levels = np.zeros((84, 84), np.uint8)
        levels[number * 10 : number * 10 + 40, 10:40] = 1
        Image.fromarray(levels).save(folder / f"{name}.png")


def test_images_with_stretched_levels_are_counted(tmp_path):
    write_classes(tmp_path / "in", 12, 20)
    write_masks(tmp_path / "in/in07", "abcd")
    names = "in07/a.png, in07/b.png, in07/c.png"
    said = f"in: 4 of 48 images were stretched from low to full contrast: {names} and 1 more"
    for run in ("decoded", "cached"):
        done = train(tmp_path / "in", "--checkpoint", tmp_path / run, *TINY)
        assert done.code == 0, done.err
        assert done.err.splitlines() == [f"Note: {said}"]
    for command in (("verify",), ("info", "--out", tmp_path / "sheet.png")):
        assert said in call("data", *command, tmp_path / "in", command=reptile).out.splitlines()


def test_stretched_levels_are_remembered_by_imported_data(tmp_path):
    data, store = write_miniimagenet(tmp_path / "mini"), tmp_path / "store"
    write_masks(data / "val/val01", "a")
    Image.new("LA", (84, 84)).save(data / "test/test02/b.png")
    said = "mini: 1 of 36 images was stretched from low to full contrast: val/val01/a.png"
    done = call("data", "import", data, "--out", store, command=reptile)
    assert said in done.out.splitlines()
    assert said in call("data", "verify", store, command=reptile).out.splitlines()
    for place in (data, store):
        done = miniimagenet("--data-dir", place, "--checkpoint", tmp_path / "run", *TINY)
        assert f"Note: {said}\n" in done.err
        shutil.rmtree(tmp_path / "run")


def test_miniimagenet_without_data_says_how_to_get_it(tmp_path):
    done = miniimagenet("--data-dir", tmp_path / "none", "--checkpoint", tmp_path / "run")
    assert_refused(done, "./fetch_data.sh miniimagenet")
    assert not (tmp_path / "run").exists()


def test_own_images_are_divided_once_and_kept(own_run):
    images, run = own_run
    classes = json.loads((run / "classes.json").read_text())
    splits = [classes[split] for split in ("train", "val", "test")]
    assert sorted(itertools.chain(*splits)) == [f"images{n:02d}" for n in range(10)]
    assert list(map(len, splits)) == [6, 2, 2]
    net = json.loads((run / "config.json").read_text())["net"]
    assert net["image_shape"] == [20, 20, 1]  # small and grey as they are
    other = train(images, "--checkpoint", run, "--resume", "--split", "0.4,0.4,0.2")
    assert_refused(other, "--split is 0.6,0.2,0.2 there and 0.4,0.4,0.2 here")


def test_verify_does_not_blame_the_data_for_the_cache(mini, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("REPTILE_CACHE", str(tmp_path / "file" / "below"))
    assert_refused(call("data", "verify", mini, command=reptile), "REPTILE_CACHE=FOLDER")


def test_sizes_are_inherited_and_what_is_measured_is_not(own):
    """The heading says with which sizes and how the accuracies below it were measured."""
    images, run = own
    place, same = (images, "--checkpoint", run), ("--split", "0.6,0.2,0.2")
    sizes = "(--eval-batch 2 --eval-iters 2 --eval-samples {} --eval-seed 0)"
    for name in ((*place, "--pretrained"), (images, "--pretrained", run, *same)):
        done = train(*name, "--eval-samples", 3)
        assert done.out.startswith(
            f"Evaluating... 2-way 1-shot, non-transductive {sizes}\n".format(3)
        )
        splits = [line.split()[0] for line in done.accuracies]
        assert (splits, done.err) == (["Train", "Validation", "Test"], "")
    given = ("--both-modes", "--transductive", "--eval-splits", "test")
    done = train(*place, "--pretrained", *same, *given)
    heading, *accuracies = done.out.splitlines()
    assert "1-shot, transductive and non-transductive (" in heading
    names = [line.partition(": ")[0] for line in accuracies]
    assert names == ["Test accuracy", "Test accuracy, non-transductive"]
    resumed = train(*place, "--resume")
    heading, accuracy = resumed.out.splitlines()
    assert heading == f"Evaluating... 2-way 1-shot, transductive {sizes}".format(6)
    assert accuracy.startswith("Validation accuracy: ")


def strip_stored(run: Path) -> None:
    """Take out what older programs did not store."""

    def strip(content: dict) -> None:
        del content["command"]
        for name in ("split", "image_size", "grey", "skip_broken"):
            del content["config"][name]

    edit_json(run / "config.json", strip)


@pytest.fixture(scope="module")
def made_otherwise(tmp_path_factory) -> tuple[Path, Path]:
    """Images, one of them broken, and a run that made them smaller and coloured."""
    folder = tmp_path_factory.mktemp("made")
    images, run = write_classes(folder / "images", 10, 20, channels=1), folder / "run"
    (images / "images00" / "broken.png").write_bytes(b"no image")
    how = ("--split", "0.6,0.4,0", "--image-size", "16", "--colour", "--skip-broken")
    assert train(images, "--checkpoint", run, *how, *TINY).code == 0
    return images, run


@pytest.mark.parametrize("old", [False, True])
def test_how_images_were_made_is_remembered(made_otherwise, tmp_path, old):
    """Also by an older program's run, whose network and classes tell."""
    images, run = made_otherwise[0], shutil.copytree(made_otherwise[1], tmp_path / "run")
    if old:
        strip_stored(run)
    skip = ("--skip-broken",) * old
    evaluated = ("--pretrained", run) if old else ("--checkpoint", run, "--pretrained")
    for name in (("--checkpoint", run, "--resume"), evaluated):
        done = train(images, *name, *skip)
        assert done.code == 0, done.err
        assert [line.split()[0] for line in done.accuracies] == ["Train", "Validation", "Not"]
        assert done.err.count("left out 1 broken image") == 1
        assert "not split as" not in done.err
        assert "not the images" not in done.err
    for other in (("--image-size", "20"), ("--grey",), ("--split", "0.4,0.4,0.2")):
        refused = train(images, "--checkpoint", run, "--pretrained", *other, *skip)
        assert refused.code == 1
        assert str(run) in refused.err.splitlines()[-1]  # after what was left out


def test_training_on_all_classes(tmp_path):
    images, run = write_classes(tmp_path / "images", 6, 20, channels=1), tmp_path / "run"
    place = (images, "--checkpoint", run, "--split", "1,0,0", *TINY)
    for split in ("val", "test"):
        refused = train(*place, "--eval-splits", split)
        assert_refused(refused, f"--eval-splits {split}: no {split} classes are held out")
    assert not run.exists()
    done = train(*place)
    assert done.code == 0, done.err
    assert done.looks[0].startswith("batch 0: train=")
    assert "val=" not in done.out
    measured, missing = done.accuracies
    assert measured.startswith("Train accuracy: ")
    assert missing.startswith("Not measured: val and test accuracy")
    assert (run / "learning_curve.png").exists()


def test_ready_folders_are_not_split_otherwise(mini, tmp_path):
    done = train(mini, "--checkpoint", tmp_path / "run", "--split", "0.5,0.3,0.2", *TINY)
    assert_refused(
        done,
        str(mini),
        "its classes are divided into train, val, test already",
        "--split 0.5,0.3,0.2",
    )
    assert not (tmp_path / "run").exists()


def test_the_command_that_trained_is_named(mini_run, own_run, tmp_path):
    """Whatever was stored of it, and before any images are looked for."""
    (images, mine), run = own_run, shutil.copytree(mini_run[0], tmp_path / "run")
    for how in (("--checkpoint", run, "--pretrained"), ("--checkpoint", run, "--resume"),
                ("--pretrained", run)):  # fmt: skip
        assert_refused(call(*how), "trained by run_miniimagenet.py, not by run_omniglot.py")
    refused = train(images, "--checkpoint", run, "--pretrained")
    assert_refused(refused, "continue or evaluate it with run_miniimagenet.py")
    sine = call("sine", "--out", run, "--pretrained", command=reptile)
    assert_refused(sine, "a run of run_miniimagenet.py: it learns images, not sine waves")
    strip_stored(run)
    assert_refused(call("--checkpoint", run, "--resume"), "trained by run_miniimagenet.py")
    assert_refused(miniimagenet("--pretrained", "omniglot-5way"), "with run_omniglot.py")
    assert_refused(miniimagenet("--checkpoint", mine, "--resume"), "trained by reptile train DIR")


def test_own_images_are_evaluated_as_they_were_divided(own_run, tmp_path):
    """Classes that a run was trained on are not tested without a word, nor is that stored."""
    images, run = own_run
    stored = (run / "results.json").read_bytes()
    evaluation = (images, "--checkpoint", run, "--pretrained")
    assert_refused(train(*evaluation, "--split", "0.4,0.4,0.2"), "--split is 0.6,0.2,0.2 there")
    more = write_classes(tmp_path / "more", 11, 20, channels=1)
    assert_refused(
        train(more, *evaluation[1:]), "differ from those of the run in", "stores nothing"
    )
    assert (run / "results.json").read_bytes() == stored
    named = train(images, "--pretrained", run, "--split", "0.4,0.4,0.2", "--eval-samples", 2)
    assert named.code == 0
    assert f"the classes are not split as for {run}" in named.err


def test_own_images_of_mixed_formats_and_sizes(tmp_path):
    images = write_classes(tmp_path / "images", 6, 40)
    chance = np.random.default_rng(1)
    picture(chance, 60, 3).convert("CMYK").save(images / "images00" / "e.jpg")
    picture(chance, 50, 3).convert("P").save(images / "images01" / "e.gif")
    picture(chance, 33, 4).save(images / "images02" / "e.png")
    done = train(
        images, "--checkpoint", tmp_path / "run", "--image-size", "24",
        "--split", "0.4,0.3,0.3", *TINY,
    )  # fmt: skip
    assert done.code == 0, done.err
    net = json.loads((tmp_path / "run" / "config.json").read_text())["net"]
    assert net["image_shape"] == [24, 24, 3]


@pytest.mark.parametrize(
    "split",
    [
        "0.5,0.5",
        "a,b,c",
        "0.5,0.4,0.3",
        "-0.2,0.6,0.6",
        "nan,nan,nan",
        "0,0,0",
        "0,1,0",
        "inf,0,0",
        "1",
        "",
    ],
)
def test_bad_shares_are_a_usage_error(split, tmp_path):
    done = train(tmp_path, "--checkpoint", tmp_path / "run", f"--split={split}")
    assert_refused(done, "--split", code=2)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("missing", ["val", "test"])
def test_what_was_left_out_and_which_split_is_missing_is_said(mini, missing, tmp_path):
    images = shutil.copytree(mini, tmp_path / "images")
    shutil.rmtree(images / missing)
    folder = next((images / "train").iterdir())
    (folder / "b.png").write_bytes(b"")
    (folder / "notes.txt").write_text("about these")
    arguments = (images, "--checkpoint", tmp_path / "run", *TINY)
    assert_refused(train(*arguments), "b.png (it is empty)")
    done = train(*arguments, "--skip-broken")
    assert done.code == 0, done.err
    assert done.err.splitlines()[:2] == [
        f"Note: images: left out 1 file of no image format (train/{folder.name}/notes.txt); "
        f"1 broken image (train/{folder.name}/b.png)",
        f"Note: images: has no {missing} classes of its own",
    ]
    assert len(done.accuracies) == 2 + (missing == "test")  # which is said not to be measured
    if missing == "val":
        (folder / "b.png").unlink()
        done = miniimagenet("--data-dir", images, "--checkpoint", tmp_path / "mini", *TINY)
        assert done.err.splitlines()[1] == "Note: images: has no val classes of its own"


def test_alphabets_are_no_classes(data, tmp_path):
    done = train(data, "--checkpoint", tmp_path / "run", *TINY)
    assert_refused(done, "alphabets of characters", f"reptile omniglot --data-dir {data}")
