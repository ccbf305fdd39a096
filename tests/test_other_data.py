"""run_miniimagenet.py and `reptile train`, through the real command line on small made images."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from command_line import ROOT, Outcome, assert_refused, call, flags, script
from made_pictures import picture, write_classes, write_miniimagenet
from PIL import Image

from supervised_reptile.cli import reptile

TINY = flags(
    classes=2,
    shots=1,
    train_shots=2,
    inner_batch=2,
    inner_iters=2,
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


def test_miniimagenet_watches_validation_and_ends_with_three_accuracies(mini, tmp_path):
    done = miniimagenet("--data-dir", mini, "--checkpoint", tmp_path, *TINY)
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


def test_miniimagenet_without_data_says_how_to_get_it(tmp_path):
    done = miniimagenet("--data-dir", tmp_path / "none", "--checkpoint", tmp_path / "run")
    assert_refused(done, "./fetch_data.sh miniimagenet")
    assert not (tmp_path / "run").exists()


def test_own_images_are_divided_once_and_kept(tmp_path):
    images, run = write_classes(tmp_path / "images", 10, 20, channels=1), tmp_path / "run"
    arguments = (images, "--checkpoint", run, "--split", "0.6,0.2,0.2")
    done = train(*arguments, *TINY)
    assert done.code == 0, done.err
    classes = json.loads((run / "classes.json").read_text())
    splits = [classes[split] for split in ("train", "val", "test")]
    assert sorted(itertools.chain(*splits)) == [f"images{n:02d}" for n in range(10)]
    assert list(map(len, splits)) == [6, 2, 2]
    net = json.loads((run / "config.json").read_text())["net"]
    assert net["image_shape"] == [20, 20, 1]  # small and grey as they are
    other = train(images, "--checkpoint", run, "--resume", "--split", "0.4,0.4,0.2")
    assert_refused(other, "not split as in the run")


def test_verify_does_not_blame_the_data_for_the_cache(mini, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("REPTILE_CACHE", str(tmp_path / "file" / "below"))
    assert_refused(call("data", "verify", mini, command=reptile), "REPTILE_CACHE=FOLDER")


def test_flags_of_training_that_evaluation_takes_over_are_named(tmp_path):
    """The original program had their defaults then."""
    images, run = write_classes(tmp_path / "images", 10, 20, channels=1), tmp_path / "run"
    place = (images, "--checkpoint", run, "--split", "0.6,0.2,0.2")
    assert train(*place, *TINY, "--transductive").code == 0
    done = train(*place, "--eval-samples", 2, "--eval-batch", 2, "--pretrained")
    taken = "--shots 1 --eval-iters 2 --transductive"
    assert done.err == f"Note: evaluated as in training, with {taken}\n"
    given = ("--shots", 1, "--eval-iters", 2, "--no-transductive")
    assert not train(*place, *given, "--eval-samples", 2, "--eval-batch", 2, "--pretrained").err


def test_own_images_are_evaluated_as_they_were_divided(tmp_path):
    """Classes that a run was trained on are not tested without a word, nor is that stored."""
    images, run = write_classes(tmp_path / "images", 10, 20, channels=1), tmp_path / "run"
    assert train(images, "--checkpoint", run, "--split", "0.6,0.2,0.2", *TINY).code == 0
    stored = (run / "results.json").read_bytes()
    evaluation = (images, "--checkpoint", run, "--pretrained")
    assert_refused(train(*evaluation, "--split", "0.4,0.4,0.2"), "not split as in the run",
                   "the same --split", f"--pretrained {run}, which evaluates")  # fmt: skip
    more = write_classes(tmp_path / "more", 11, 20, channels=1)
    assert_refused(train(more, *evaluation[1:]), "not those that the run in", "stores nothing")
    assert (run / "results.json").read_bytes() == stored
    named = train(images, "--pretrained", run, "--split", "0.4,0.4,0.2", "--eval-samples", 2)
    assert named.code == 0
    assert f"the classes are not split as for {run}" in named.err
    assert "not split as" not in train(images, "--pretrained", run, "--split", "0.6,0.2,0.2").err
    assert train(*evaluation, "--split", "0.6,0.2,0.2").code == 0


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
    "split", ["0.5,0.5", "a,b,c", "0.5,0.4,0.3", "-0.2,0.6,0.6", "nan,nan,nan"]
)
def test_bad_shares_are_a_usage_error(split, tmp_path):
    done = train(tmp_path, "--split", split)
    assert_refused(done, "--split", code=2)


def test_an_empty_class_is_named(tmp_path):
    images = write_classes(tmp_path / "images", 6, 20)
    (images / "nothing").mkdir()
    done = train(images, "--checkpoint", tmp_path / "run", *TINY)
    assert_refused(done, "nothing")
    assert not (tmp_path / "run").exists()


def test_a_damaged_image_is_named(tmp_path):
    images = write_classes(tmp_path / "images", 6, 20)
    whole = io.BytesIO()
    picture(np.random.default_rng(0), 20, 3).save(whole, "PNG")
    (images / "images03" / "broken.png").write_bytes(whole.getvalue()[:80])
    done = train(images, "--checkpoint", tmp_path / "run", *TINY)
    assert_refused(done, "broken.png")
    assert not (tmp_path / "run").exists()
