"""The Python face: what the command lines do, as calls."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import ROOT, TINY, assert_same_state, call, flags

import supervised_reptile as sr

SMALL = {
    "way": 3, "shots": 1, "train_shots": 5, "inner_batch": 5, "inner_steps": 2, "meta_batch": 2,
    "outer_steps": 60, "eval_episodes": 20, "eval_steps": 3, "eval_interval": 5,
}  # fmt: skip


def test_a_run_is_the_command_lines_run(data: Path, tmp_path: Path) -> None:
    """The same weights, evaluated to the same accuracies."""
    config = sr.Config(**SMALL, transductive=True)
    seen = []
    run = sr.train(config, data, tmp_path / "call", callbacks=[lambda *a: seen.append(a)])
    assert [step for step, _ in seen] == list(range(0, 60, 5))
    assert all(set(accuracies) == {"train", "test"} for _, accuracies in seen)
    shell = call(*TINY, *flags(data_dir=data, checkpoint=tmp_path / "shell"))
    assert shell.code == 0, shell.err
    assert_same_state(tmp_path / "call", tmp_path / "shell")
    accuracies = run.evaluate(transductive=True)
    printed = [line.split()[2] for line in shell.accuracies]
    assert [f"{accuracies[split].mean:.5f}" for split in ("train", "test")] == printed
    assert run.evaluate("test", shots=2, eval_episodes=4)["test"].episodes == 4


def test_a_preset_is_the_papers_with_other_fields() -> None:
    config = sr.preset("omniglot-20way", outer_steps=10)
    assert (config.way, config.inner_rate, config.outer_steps) == (20, 5e-4, 10)
    with pytest.raises(ValueError, match="omniglot-5way"):
        sr.preset("omniglot")


def test_settings_that_contradict_each_other_are_value_errors() -> None:
    with pytest.raises(ValueError, match="--foml-tail"):
        sr.Config(tail_shots=1)


def clusters(classes: range) -> tuple[np.ndarray, list[str]]:
    """Uint8 [8 a class, 8, 8, 1]: noisy copies of a picture for each class."""
    random = np.random.default_rng(classes.start)
    pictures = random.integers(0, 200, (len(classes), 1, 8, 8, 1))
    images = pictures + random.integers(0, 56, (len(classes), 8, 8, 8, 1))
    labels = [f"class {number}" for number in classes for _ in range(8)]
    return images.reshape(-1, 8, 8, 1).astype(np.uint8), labels


def test_arrays_are_a_data_set(tmp_path: Path) -> None:
    data = sr.Dataset.from_arrays(train=clusters(range(6)), test=clusters(range(6, 10)))
    config = sr.Config(**SMALL)
    run = sr.train(config, data, tmp_path / "run")
    images, labels = clusters(range(20, 23))
    clf = run.classifier(steps=5).fit(images[::4], labels[::4])
    assert clf.score(images, labels) > 0.6
    with pytest.raises(sr.UserError, match="holds a run already"):
        sr.train(config, data, tmp_path / "run")
    assert sr.train(config, data, tmp_path / "run", resume=True).config == run.config
    assert sr.load_run(run.path, data).evaluate("test")["test"].mean > 0.34


def test_arrays_that_are_no_data_set() -> None:
    images, labels = clusters(range(3))
    for splits, words in (
        ({"test": (images, labels)}, "train must be given"),
        ({"train": (images / 255, labels)}, "uint8"),
        ({"train": (images, labels[1:])}, "24 images and 23 labels"),
        ({"train": (images, labels), "test": (images, labels)}, "class 0 is in train and in test"),
    ):
        with pytest.raises(ValueError, match=words):
            sr.Dataset.from_arrays(**splits)


def test_another_process_loads_the_run(finished: Path, tmp_path: Path) -> None:
    """By a script of any name; nothing is imported before it is needed."""
    script = tmp_path / "analysis of mine.py"
    script.write_text(
        "import sys, supervised_reptile as sr\n"
        "assert 'tensorflow' not in sys.modules\n"
        f"run = sr.load_run({str(finished)!r})\n"
        "print(run.evaluate('test', transductive=True, eval_episodes=3)['test'].episodes)\n"
        "print(run.classifier().most_classes)\n",
        encoding="utf8",
    )
    done = subprocess.run([sys.executable, script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[-3:-1] == ["3", "3"]
