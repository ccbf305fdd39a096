"""Whatever is wrong is said in one line, and nothing is written or lost."""

from __future__ import annotations

import os
import pickle
import re
import shlex
import shutil
from pathlib import Path

import click
import numpy as np
import pytest
from command_line import (
    TINY,
    Outcome,
    assert_refused,
    call,
    edit_json,
    flags,
    saved_state,
    saved_steps,
    tree,
)
from made_pictures import write_classes
from stored_runs import write_run
from strange_lines import programs

from supervised_reptile import FewShotClassifier
from supervised_reptile.cli.main import reptile
from supervised_reptile.data.store import cache_folder
from supervised_reptile.errors import UserError, counted
from supervised_reptile.system.path_type import Place


def attempt(tmp_path: Path, data: Path, *more: str) -> Outcome:
    """Start a run that is to be refused; checks that it left nothing."""
    outcome = call(*TINY, *flags(data_dir=data, checkpoint=tmp_path / "run"), *more)
    assert not (tmp_path / "run").exists()
    assert not outcome.out
    return outcome


# ---- places

EMPTY_PLACES = {
    "predict --support= --query photos": "'--support'",
    "predict --support photos --query photos ''": "'--query'",
    "sweep '' --out sweep --data-dir data": "'SPACE.toml'",
    "omniglot --checkpoint= --overwrite": "'--checkpoint'",
    "train '' --checkpoint run": "'DIR'",
    "reproduce theory --out ''": "'--out'",
    "plot ''": "'RUN...'",
    "sine --out=": "'--out'",
    "demo --checkpoint=": "'--checkpoint'",
    "omniglot --pretrained=": "'--pretrained'",
}


@pytest.mark.parametrize("line", EMPTY_PLACES)
def test_nothing_is_no_place(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell's variable that is not set; the current folder is not meant, and kept."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "thesis.tex").touch()
    outcome = call(*shlex.split(line), command=reptile)
    assert outcome.code == 2
    assert f"{EMPTY_PLACES[line]}: is empty; name a file or folder" in outcome.err
    assert os.listdir(tmp_path) == ["thesis.tex"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home directory; the current folder is another one, and empty."""
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


def test_a_tilde_is_the_home_directory(
    data: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No shell expands --flag=~/folder, what is quoted, or most variables."""
    (home / "data").symlink_to(data)
    monkeypatch.setenv("REPTILE_CACHE", "~/cache")
    short = flags(meta_iters=1, eval_samples=1)
    lines = [
        (None, *TINY, "--data-dir=~/data", "--checkpoint=~/run", *short),
        (None, *TINY, "--data-dir=~/data", "--pretrained=~/run", *short),
        (reptile, "export", "--checkpoint=~/run", "--format=npz", "--out=~/exported"),
        (reptile, "compare", "~/run"),
        (reptile, "plot", "~/run", "--out", "~/curves.png"),
    ]
    for command, *words in lines:
        outcome = call(*words, command=command)
        assert outcome.code == 0, outcome.err
    assert not os.listdir(".")
    found = {path.name for path in home.iterdir()}
    assert found == {"data", "cache", "run", "exported", "curves.png"}
    monkeypatch.delenv("REPTILE_CACHE")
    assert cache_folder() == home / ".cache" / "supervised-reptile"
    for weights in ("~/run", Path("~/exported"), "~/exported/weights.npz"):
        assert FewShotClassifier.load(weights).most_classes == 3
    picture = str(next(data.rglob("*.png"))).replace(str(data), "~/data")
    clf = FewShotClassifier("~/run").fit([picture, Path(picture)], [0, 1])
    assert len(clf.predict([picture])) == 1


def test_a_folder_called_tilde(home: Path) -> None:
    command = ["data", "glyphs", *flags(alphabets=1, characters=1, drawings=1)]
    assert call(*command, "--out=./~", command=reptile).code == 0
    assert (Path("~") / "glyphs.json").exists()
    assert not os.listdir(home)


def test_a_tilde_of_nobody(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = "~nobody-here", "./~nobody-here"
    assert_refused(call("compare", "~nobody-here/run", command=reptile), *words, code=2)
    write_run(Path("~nobody-here") / "run")  # there is one: editors and office programs make such
    assert call("compare", "~nobody-here/run", command=reptile).code == 0
    with pytest.raises(UserError, match="~nobody-else"):
        FewShotClassifier.load("~nobody-else/run")
    monkeypatch.setenv("REPTILE_CACHE", "~nobody-else/cache")
    write_classes(home / "images", 2, 9)
    outcome = call("train", home / "images", command=reptile)
    assert_refused(outcome, "REPTILE_CACHE=~nobody-else/cache: no home directory is known")


def test_every_parameter_that_is_a_place_refuses_nothing() -> None:
    paths = [
        (name, parameter.name)
        for name, program in programs().items()
        for parameter in program.target.params
        if isinstance(parameter.type, click.Path) and not isinstance(parameter.type, Place)
    ]
    assert not paths
    texts = {
        parameter.name
        for program in programs().values()
        for parameter in program.target.params
        if parameter.type is click.STRING
    }
    assert texts == {"form", "name", "title", "ray_address"}


# ---- words


def test_one_of_a_thing(data: Path, tmp_path: Path) -> None:
    glyphs = ["data", "glyphs", *flags(alphabets=1, characters=1, drawings=1), "--out"]
    assert call(*glyphs, tmp_path / "g", command=reptile).out.endswith(
        ": 1 character, 1 drawing of each\n"
    )
    outcome = attempt(tmp_path, data, *flags(val_classes=1))
    assert_refused(outcome, "the val split has only 1 class; give more data")
    place = flags(data_dir=data, checkpoint=tmp_path / "run")
    outcome = call(*TINY, *place, *flags(meta_iters=1, eval_samples=1))
    assert all("over 1 episode)" in line for line in outcome.accuracies), outcome
    exported = call(
        "export", "--checkpoint", tmp_path / "run", "--format=npz", "--out", tmp_path / "npz",
        command=reptile,
    )  # fmt: skip
    assert exported.out.endswith("weights after 1 outer step\n")
    counts = [counted(n, "class") for n in (0, 1, 2, 1000)]
    assert counts == ["0 classes", "1 class", "2 classes", "1,000 classes"]


def test_numpys_advice_to_trust_a_file_is_not_passed_on(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    for content in (b"no array of numbers at all", pickle.dumps([1])):
        path.write_bytes(content)
        outcome = call(
            "export", "--checkpoint", path, "--format=npz", "--out", tmp_path / "x", command=reptile
        )
        assert_refused(outcome, str(path), "not readable weights (it is no .npz archive)")


# ---- data


def test_a_missing_data_directory(tmp_path: Path) -> None:
    outcome = attempt(tmp_path, tmp_path / "nowhere")
    words = ("./fetch_data.sh", "Alphabet/character01", "images_background", "reptile data glyphs")
    assert_refused(outcome, str(tmp_path / "nowhere"), *words)


@pytest.mark.parametrize("kind", ["empty", "foreign", "a file"])
def test_a_data_directory_without_drawings(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "data"
    if kind == "a file":
        folder.write_text("")
    else:
        (folder / "holiday").mkdir(parents=True)
        if kind == "foreign":
            (folder / "holiday" / "beach.png").write_text("")
    assert_refused(attempt(tmp_path, folder), str(folder), "./fetch_data.sh", "reptile data glyphs")


def last_drawing(folder: Path) -> Path:
    return max(folder.glob("*/*/*.png"))


def test_a_broken_drawing_is_named(data: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(data, tmp_path / "data")
    path = last_drawing(folder)
    path.write_text("<!DOCTYPE html><title>404 Not Found</title>")
    assert_refused(attempt(tmp_path, folder), str(folder), path.relative_to(folder).as_posix())


def test_a_truncated_archive_is_named(data: Path, tmp_path: Path) -> None:
    shutil.make_archive(str(tmp_path / "data" / "images_background"), "zip", data)
    path = tmp_path / "data" / "images_background.zip"
    os.truncate(path, path.stat().st_size // 2)
    assert_refused(attempt(tmp_path, path.parent), str(path))


def test_a_class_with_too_few_drawings_is_named(data: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(data, tmp_path / "data")
    character = last_drawing(folder).parent
    for path in sorted(character.iterdir())[4:]:
        path.unlink()
    outcome = attempt(tmp_path, folder, *flags(shots=4, train_shots=4))
    name = f"{character.parent.name}/{character.name}"
    assert_refused(outcome, name, "has 4 images", "needs 5", "--shots")


SHAPES = {
    "more shots than drawings": (flags(shots=20), ["20 images", "needs 21", "--shots"]),
    "more training shots than drawings": (
        flags(train_shots=21),
        ["20 images", "needs 21", "--train-shots"],
    ),
    "more classes than there are": (flags(classes=300), ["--classes 300", "176 classes"]),
    "more classes than test classes": (flags(classes=17), ["--classes 17", "test", "16 classes"]),
    "fewer validation classes than a task has": (
        flags(val_classes=2),
        ["--classes 3", "val", "2 classes"],
    ),
    "more validation classes than training classes": (
        flags(val_classes=44),
        ["--val-classes 44", "44 to train on"],
    ),
    "an inner batch larger than the task": (
        flags(replacement=True, inner_batch=16),
        ["--inner-batch 16", "--replacement", "15 examples"],
    ),
    "an inner batch larger than the episode": (
        flags(replacement=True, eval_batch=4),
        ["--eval-batch 4", "--replacement", "3 examples"],
    ),
}


@pytest.mark.parametrize("case", SHAPES)
def test_tasks_that_the_data_cannot_give(data: Path, tmp_path: Path, case: str) -> None:
    given, words = SHAPES[case]
    assert_refused(attempt(tmp_path, data, *given), *words)


def test_the_largest_tasks_are_given(data: Path, tmp_path: Path) -> None:
    """Every limit above is one too many."""
    place = flags(data_dir=data, checkpoint=tmp_path / "run", eval_samples=1, meta_iters=1)
    largest = flags(classes=16, shots=19, train_shots=20, replacement=True, inner_batch=320)
    outcome = call(*TINY, *place, *largest, *flags(eval_batch=304, eval_iters=1))
    assert outcome.code == 0, outcome.err


# ---- flags

USAGE = {
    "a tail without FOML": (flags(foml_tail=2), ["--foml-tail", "--foml"]),
    "a tail of all shots": (flags(foml=True, foml_tail=5), ["--foml-tail 5", "5 examples"]),
    "a tail larger than the shots": (flags(foml=True, foml_tail=6), ["--foml-tail 6"]),
    "a tail larger than --shots, which training uses": (
        flags(foml=True, foml_tail=2, train_shots=0, shots=2),
        ["--foml-tail 2", "2 examples"],
    ),
    "MAML through Adam": (flags(algorithm="maml"), ["--algorithm maml", "--sgd"]),
    "FOML and MAML": (flags(foml=True, algorithm="maml", sgd=True), ["--foml", "--algorithm maml"]),
    "FOML and Reptile": (flags(foml=True, algorithm="reptile"), ["--foml", "--algorithm reptile"]),
    "joint training of five inner steps": (
        flags(algorithm="joint", inner_iters=5),
        ["--algorithm joint", "--inner-iters"],
    ),
    "resuming and overwriting": (flags(resume=True, overwrite=True), ["--resume", "--overwrite"]),
    "resuming and evaluating": (flags(resume=True, pretrained=True), ["--resume", "--pretrained"]),
    "an unknown flag": (["--shot", "5"], ["--shot"]),
    "no number": (flags(shots="five"), ["--shots", "five"]),
    "no classes": (flags(classes=0), ["--classes"]),
    "a negative rate": (flags(learning_rate=-1), ["--learning-rate"]),
    "not a number": (flags(learning_rate="nan"), ["--learning-rate"]),
    "an endless step": (flags(meta_step="inf"), ["--meta-step"]),
    "an unknown algorithm": (flags(algorithm="maml2"), ["--algorithm", "maml2"]),
    "an unknown outer optimizer": (flags(outer_optimizer="rmsprop"), ["--outer-optimizer"]),
    "an unknown order": (flags(task_order="random"), ["--task-order"]),
    "a stray word": (["5"], ["5"]),
    "more outer steps than can be counted": (flags(meta_iters="9" * 400), ["--meta-iters"]),
    "more threads than any machine has": (flags(threads=10**6), ["--threads", "1,024"]),
    "a meta-batch that no memory holds": (
        flags(meta_batch=10**9),
        ["--meta-batch 1000000000 x --inner-iters 2 x --inner-batch 5", "10,000,000"],
    ),
    "an episode that no memory holds": (flags(eval_batch=10**9), ["--eval-iters 3 x --eval-batch"]),
    "a look that no memory holds": (flags(look_episodes=10**9), ["--look-episodes"]),
}


@pytest.mark.parametrize("case", USAGE)
def test_wrong_usage(data: Path, tmp_path: Path, case: str) -> None:
    given, words = USAGE[case]
    assert_refused(attempt(tmp_path, data, *given), *words, code=2)


# ---- names that nobody gives to files


def test_a_name_of_several_lines_is_told_in_one(tmp_path: Path) -> None:
    outcome = attempt(tmp_path, tmp_path / "new\nline\x1b[2J")
    assert_refused(outcome, "new\\nline\\x1b[2J")


def test_a_stray_word_of_several_lines_is_told_in_one(data: Path, tmp_path: Path) -> None:
    assert_refused(attempt(tmp_path, data, "new\nline"), "new\\nline", code=2)


def test_choices_are_told_in_one_line() -> None:
    outcome = call("export", "--out", "new", command=reptile)
    assert_refused(outcome, "--format", "npz, savedmodel, web", code=2)


@pytest.mark.parametrize("command", ["compare", "plot", "report"])
def test_a_name_that_is_too_long(command: str) -> None:
    assert_refused(call(command, "a" * 300, command=reptile), "a" * 300)


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    assert_refused(attempt(tmp_path, tmp_path / "\udcff"), "\\udcff")


# ---- the run directory


def test_a_stored_network_of_another_architecture(data: Path, finished: Path) -> None:
    edit_json(finished / "config.json", lambda stored: stored["net"].update(filters=32))
    before = tree(finished)
    for how in ("--resume", "--pretrained"):
        outcome = call(*flags(data_dir=data, checkpoint=finished), how)
        assert_refused(outcome, str(finished), "architecture", "filters is 32 there and 64 here")
    assert tree(finished) == before


def test_checkpoints_of_another_architecture(data: Path, finished: Path) -> None:
    """Weights that do not fit are not taken, whatever the configuration says."""

    def otherwise(stored: dict) -> None:
        stored["config"]["way"] = stored["net"]["way"] = 4

    edit_json(finished / "config.json", otherwise)
    before = tree(finished)
    for how in ("--resume", "--pretrained"):
        outcome = call(*flags(data_dir=data, checkpoint=finished), how)
        assert outcome.code == 1
        assert outcome.err.splitlines()[-1].startswith("Error: ")
        assert str(finished) in outcome.err.splitlines()[-1]
        assert "accuracy" not in outcome.out
    assert tree(finished) == before


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"config": {"way": 5}}', "\xff\xfe"])
def test_an_unreadable_configuration(data: Path, finished: Path, content: str) -> None:
    (finished / "config.json").write_bytes(content.encode("latin-1"))
    before = tree(finished)
    for how in ("--resume", "--pretrained"):
        outcome = call(*flags(data_dir=data, checkpoint=finished), how)
        assert_refused(outcome, str(finished / "config.json"))
    assert tree(finished) == before


@pytest.mark.parametrize(
    ("field", "value"),
    [("inner_rate", "fast"), ("inner_rate", -1), ("way", 2.5), ("sgd", 1), ("algorithm", "magic"),
     ("shots", None), ("seed", []), ("meta_batch", True), ("eval_steps", 1e400), ("data_dir", 5)],
)  # fmt: skip
def test_values_that_no_flag_would_take(
    data: Path, finished: Path, field: str, value: object
) -> None:
    edit_json(finished / "config.json", lambda stored: stored["config"].update({field: value}))
    outcome = call(*flags(data_dir=data, checkpoint=finished), "--resume")
    assert_refused(outcome, str(finished / "config.json"), field)


@pytest.mark.parametrize("place", ["file", "file/run", "file/deeper/run", "/proc/reptile/run"])
def test_a_run_directory_that_cannot_be_made(data: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("mine")
    path = tmp_path / place
    outcome = call(*TINY, *flags(data_dir=data, checkpoint=path))
    assert_refused(outcome, str(path), "cannot write there")
    assert not outcome.out
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


# ---- divergence


def test_divergence_stops_with_the_outer_step(data: Path, tmp_path: Path) -> None:
    place = flags(data_dir=data, checkpoint=tmp_path / "run")
    outcome = call(*TINY, *place, *flags(sgd=True, learning_rate=1e30))
    assert_refused(outcome, "diverged", "outer step 0; try a smaller --learning-rate")
    assert "accuracy" not in outcome.out
    assert not saved_steps(tmp_path / "run")


def test_divergence_keeps_the_last_good_checkpoint(data: Path, tmp_path: Path) -> None:
    """The outer step size grows from 0 until the weights are no numbers any more."""
    run = tmp_path / "run"
    growing = flags(sgd=True, meta_step=0, meta_step_final=1e38, save_interval=1)
    outcome = call(*TINY, *flags(data_dir=data, checkpoint=run), *growing)
    assert_refused(outcome, "diverged", str(run))
    step = int(re.search(r"outer step (\d+)", outcome.err)[1])
    assert 1 <= step < 60
    assert saved_steps(run)[-1] == step
    state = saved_state(run)
    assert np.isfinite(state["weights"]).all()
    assert state["step"] == step
    outcome = call(*flags(data_dir=data, checkpoint=run, pretrained=True))
    assert outcome.code == 0, outcome.err
    assert len(outcome.accuracies) == 2
