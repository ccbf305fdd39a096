"""Run directories: what starts, continues, evaluates or replaces a run, and what is refused."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import small_problem  # noqa: F401  starts TensorFlow as the programs do
import tensorflow as tf
from command_line import (
    EXACT,
    TINY,
    assert_refused,
    call,
    fill,
    flags,
    read_only,
    saved_steps,
    small_disk,
    tree,
)

from supervised_reptile.config import Config
from supervised_reptile.errors import UserError
from supervised_reptile.runs.gradient_alignment import summary
from supervised_reptile.runs.read_run import Stored, read_evaluations, read_metrics
from supervised_reptile.runs.run_dir import RunDir, newest_readable

STORED = Stored(Config(), {"way": 5}, "checksum", {"train": ["a", "b"]})
SETTINGS = {"shots": 1, "eval_seed": 0}


# ---- the directory by itself, with a handful of numbers for weights


def numbers() -> SimpleNamespace:
    """What a run directory saves of a learner."""
    return SimpleNamespace(
        weights=tf.Variable(np.zeros(5, np.float32)),
        second_moment=tf.Variable(np.zeros(5, np.float32)),
        time=tf.Variable(0, dtype=tf.int64),
        outer_variables={},
    )


@contextmanager
def opened(path: Path, overwrite: bool = False) -> Iterator[tuple[RunDir, SimpleNamespace]]:
    learner = numbers()
    with RunDir(path, STORED, overwrite) as run:
        run.attach(learner)
        yield run, learner


def advance(run: RunDir, learner: SimpleNamespace, steps: range) -> None:
    """Make a checkpoint and a line of metrics for each of `steps`."""
    for step in steps:
        learner.weights.assign(np.full(5, step, np.float32))
        learner.time.assign(2 * step)
        run.log(step, {"train": step / 100, "test": 0.5})
        run.save(step)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A directory with checkpoints after steps 1 to 5."""
    with opened(tmp_path / "run") as (run, learner):
        run.restore()
        advance(run, learner, range(1, 6))
    return tmp_path / "run"


def test_what_was_saved_comes_back(run: Path) -> None:
    with opened(run) as (again, learner):
        assert again.restore() == again.step == 5
        assert (learner.weights.numpy() == 5).all()
        assert learner.time.numpy() == 10
    assert saved_steps(run) == [3, 4, 5]


def cut_data(path: Path) -> None:
    os.truncate(f"{path}.data-00000-of-00001", 50)


def empty_data(path: Path) -> None:
    os.truncate(f"{path}.data-00000-of-00001", 0)


def lose_data(path: Path) -> None:
    Path(f"{path}.data-00000-of-00001").unlink()


def flip_data(path: Path) -> None:
    data = Path(f"{path}.data-00000-of-00001")
    data.write_bytes(bytes(255 - byte for byte in data.read_bytes()))


def cut_index(path: Path) -> None:
    os.truncate(f"{path}.index", 100)


def empty_index(path: Path) -> None:
    os.truncate(f"{path}.index", 0)


DAMAGES = (cut_data, empty_data, lose_data, flip_data, cut_index, empty_index)


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_newest_whole_checkpoint_is_taken(
    run: Path, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    damage(run / "checkpoints" / "ckpt-5")
    with opened(run) as (again, learner):
        assert again.restore() == 4
        assert (learner.weights.numpy() == 4).all()
        assert learner.time.numpy() == 8
        warning = capsys.readouterr().err
        assert "ckpt-5" in warning
        assert len(warning.splitlines()) == 1
        lines = (run / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]
        advance(again, learner, range(5, 7))
    with opened(run) as (again, learner):
        assert again.restore() == 6
        assert not capsys.readouterr().err
    assert saved_steps(run) == [4, 5, 6]


@pytest.mark.parametrize("damage", DAMAGES)
def test_without_any_whole_checkpoint_nothing_is_touched(
    run: Path, damage: Callable[[Path], None]
) -> None:
    for step in saved_steps(run):
        damage(run / "checkpoints" / f"ckpt-{step}")
    before = tree(run)
    with opened(run) as (again, _), pytest.raises(UserError, match="none of its checkpoints"):
        again.restore()
    assert tree(run) == before


def test_what_an_interrupted_save_left_is_no_checkpoint(run: Path) -> None:
    folder = run / "checkpoints"
    (folder / "ckpt-6_temp").mkdir()
    (folder / "ckpt-6_temp" / "part-00000-of-00001.data-00000-of-00001").write_bytes(b"half")
    (folder / "ckpt-6.data-00000-of-00001").write_bytes(b"half")
    (folder / "checkpoint").unlink()
    with opened(run) as (again, learner):
        assert again.restore() == 5
        advance(again, learner, range(6, 8))
    with opened(run) as (again, learner):
        assert again.restore() == 7


def test_metrics_and_events_are_cut_back_to_the_checkpoint(run: Path) -> None:
    before = (run / "metrics.jsonl").read_bytes()
    with opened(run) as (again, _):
        again.restore()
        again.log(6, {"train": 1.0, "test": 1.0})
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 7, "tra')  # killed while writing
    with opened(run) as (again, _):
        again.restore()
    assert (run / "metrics.jsonl").read_bytes() == before
    (events,) = (run / "tensorboard" / "train").iterdir()
    steps = [event.step for event in tf.compat.v1.train.summary_iterator(str(events))]
    assert steps == [0, 1, 2, 3, 4, 5]  # the first says which format follows


ALIGNMENT = summary(np.arange(18.0).reshape(2, 3, 3))


def test_alignment_after_the_checkpoint_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with opened(path) as (run, learner):
        run.restore()
        for step in range(1, 7):
            run.log_alignment(step - 1, ALIGNMENT)
            if step < 6:
                advance(run, learner, range(step, step + 1))
    lines = (path / "alignment.jsonl").read_bytes().splitlines(keepends=True)
    assert [json.loads(line)["step"] for line in lines] == [0, 1, 2, 3, 4, 5]
    with (path / "alignment.jsonl").open("a") as file:
        file.write('{"step": 6, "sa')  # killed while writing
    with opened(path) as (again, _):
        again.restore()
    assert (path / "alignment.jsonl").read_bytes() == b"".join(lines[:5])
    (events,) = (path / "tensorboard" / "same_task").iterdir()
    shown = [
        (event.step, value.tag, float(tf.make_ndarray(value.tensor)))
        for event in tf.compat.v1.train.summary_iterator(str(events))
        for value in event.summary.value
    ]
    assert shown == [
        (step, f"gradient {measure}", pytest.approx(ALIGNMENT[f"same_{measure}"]))
        for step in range(5)
        for measure in ("product", "cosine")
    ]
    flip_data(path / "checkpoints" / "ckpt-5")
    with opened(path) as (again, _):
        assert again.restore() == 4
    assert (path / "alignment.jsonl").read_bytes() == b"".join(lines[:4])


def test_lost_metrics_do_not_keep_a_run_from_going_on(run: Path) -> None:
    (run / "metrics.jsonl").unlink()
    with opened(run) as (again, learner):
        assert again.restore() == 5
        advance(again, learner, range(6, 7))
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [6]


def test_a_damaged_line_is_left_out_with_all_that_follow(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    lines[3] = b"\0" * (len(lines[3]) - 1) + b"\n"
    (run / "metrics.jsonl").write_bytes(b"".join(lines))
    with pytest.raises(UserError, match=r"metrics\.jsonl: not readable \(line 4 is no JSON"):
        read_metrics(run)
    with opened(run) as (again, learner):
        assert again.restore() == 5
        warning = capsys.readouterr().err
        assert warning.startswith(f"Warning: {run / 'metrics.jsonl'} has lost lines (line 4 is ")
        advance(again, learner, range(6, 7))
    assert read_metrics(run)["step"].tolist() == [1, 2, 3, 6]


def test_an_unfinished_line_is_left_out_and_cut_off(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (run / "metrics.jsonl").read_bytes()
    (run / "metrics.jsonl").write_bytes(whole + b'{"step": 6, "tr')
    assert read_metrics(run)["step"].tolist() == [1, 2, 3, 4, 5]
    with opened(run) as (again, _):
        again.restore()
    assert (run / "metrics.jsonl").read_bytes() == whole
    assert not capsys.readouterr().err


def test_checksums_of_older_programs_are_ignored_and_removed_with_the_run(run: Path) -> None:
    (run / "metrics.crc").write_text("00000000\n")
    assert read_metrics(run)["step"].tolist() == [1, 2, 3, 4, 5]
    with opened(run, overwrite=True):
        assert not (run / "metrics.crc").exists()


def test_a_checkpoint_that_lost_its_index_is_named(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "checkpoints" / "ckpt-5.index").unlink()
    with opened(run) as (again, _):
        assert again.restore() == 4
    assert "ckpt-5 cannot be read (it has no index)" in capsys.readouterr().err


def test_the_list_of_checkpoints_is_made_anew(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "checkpoints" / "checkpoint").write_text("")
    with opened(run) as (again, learner):
        assert again.restore() == 5
        assert "checkpoints/checkpoint cannot be read" in capsys.readouterr().err
        advance(again, learner, range(6, 7))
    with opened(run) as (again, _):
        assert again.restore() == 6
        assert not capsys.readouterr().err


def test_a_foreign_file_among_the_checkpoints(run: Path) -> None:
    (run / "checkpoints" / "ckpt-best.index").write_text("")
    with opened(run) as (again, _):
        assert again.restore() == 5


def test_damaged_results_are_replaced_with_a_warning(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(run) as (again, _):
        again.write_results({"settings": SETTINGS, "accuracy": 0.125}, {"test": np.array([0])})
        results = run / "results.json"
        results.write_text(results.read_text()[:-9])
        with pytest.raises(UserError, match=r"results\.json: not readable"):
            read_evaluations(run)
        again.write_results({"settings": SETTINGS, "accuracy": 0.25}, {"test": np.array([0])})
    assert "results.json: not readable" in capsys.readouterr().err
    assert [evaluation["accuracy"] for evaluation in read_evaluations(run)] == [0.25]


def test_equal_settings_replace_and_others_are_added(run: Path) -> None:
    with opened(run) as (again, _):
        for seed, mean in ((0, 0.1), (1, 0.2), (0, 0.3)):
            evaluation = {"settings": {**SETTINGS, "eval_seed": seed}, "accuracy": mean}
            again.write_results(evaluation, {"test": np.array([seed])})
    found = json.loads((run / "results.json").read_text())["evaluations"]
    assert [(e["settings"]["eval_seed"], e["accuracy"]) for e in found] == [(1, 0.2), (0, 0.3)]
    for evaluation in found:
        kept = np.load(run / evaluation["episodes"])["test"]
        assert kept == evaluation["settings"]["eval_seed"]
    assert not [name for name in os.listdir(run) if name.startswith(".")]


def test_a_full_disk_while_logging_is_one_sentence(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kilobytes=500) as disk:
        with pytest.raises(UserError, match="cannot write there"):
            log_until_full(disk)
        (disk / "other").unlink()
        with opened(disk / "run") as (run, _):
            assert run.restore() == 2
        assert len((disk / "run" / "metrics.jsonl").read_text().splitlines()) == 2


def log_until_full(disk: Path) -> None:
    """Refused while logging; closing the directory, which tries again, must not hide that."""
    with opened(disk / "run") as (run, learner):
        run.restore()
        advance(run, learner, range(1, 3))
        fill(disk)
        run.log(3, {"a split with a name longer than what is left of the disk" * 100: 0.5})


def test_what_killed_saves_left_is_removed(run: Path) -> None:
    """Also whole checkpoints that TensorFlow had not noted: three remain."""
    folder = run / "checkpoints"
    noted = (folder / "checkpoint").read_bytes()
    with opened(run) as (again, learner):
        again.restore()
        advance(again, learner, range(6, 7))
    (folder / "checkpoint").write_bytes(noted)
    (folder / "ckpt-7_temp").mkdir()
    (folder / "ckpt-7.data-00000-of-00001").write_bytes(b"half")
    (run / ".123.results.json").write_text("half")
    with opened(run) as (again, learner):
        assert again.restore() == 6
        assert not list(folder.glob("ckpt-7*"))
        assert not (run / ".123.results.json").exists()
        for step in range(7, 11):
            advance(again, learner, range(step, step + 1))
            assert saved_steps(run) == [step - 2, step - 1, step]


# ---- through the command line


def test_a_run_is_not_started_where_one_is(data: Path, finished: Path) -> None:
    before = tree(finished)
    outcome = call(*EXACT, *flags(data_dir=data, checkpoint=finished))
    assert_refused(outcome, str(finished), "--resume", "--overwrite", "--pretrained")
    assert not outcome.out
    assert tree(finished) == before


CONTRADICTIONS = {
    "another number of classes": (flags(classes=4), ["--classes is 3 there and 4 here"]),
    "another seed": (flags(seed=1), ["--seed is 0 there and 1 here"]),
    "two at once": (
        flags(inner_batch=7, algorithm="foml"),
        ["--inner-batch is 5 there and 7 here", "--algorithm is reptile there and foml here"],
    ),
    "another optimizer": (
        flags(outer_optimizer="adam"),
        ["--outer-optimizer is sgd there and adam here"],
    ),
    "a longer run": (flags(meta_iters=500), ["--meta-iters is 400 there and 500 here"]),
    "a switch": (flags(sgd=True), ["--sgd is False there and True here"]),
}


@pytest.mark.parametrize("how", ["resume", "pretrained"])
@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_contradicting_flags_are_named(data: Path, finished: Path, case: str, how: str) -> None:
    before = tree(finished)
    given, words = CONTRADICTIONS[case]
    outcome = call(*flags(data_dir=data, checkpoint=finished, **{how: True}), *given)
    assert_refused(outcome, str(finished), *words)
    assert outcome.err.count(" there and ") == len(words)
    assert not outcome.out
    assert tree(finished) == before


def test_a_continued_run_is_evaluated_as_it_was_going_to_be(data: Path, finished: Path) -> None:
    """Until its training is complete."""
    place = flags(data_dir=data, checkpoint=finished)
    done = call(*place, *flags(resume=True, eval_samples=5), "--no-transductive")
    assert done.code == 0, done.err
    assert "Training..." not in done.out
    assert done.out.startswith("Evaluating... 3-way 5-shot, non-transductive (")
    assert "--eval-samples 5 " in done.out
    newest = finished / "checkpoints" / "ckpt-400.index"
    for copy in ("ckpt-400.index", "ckpt-400.data-00000-of-00001"):
        (newest.parent / copy).rename(newest.parent / copy.replace("400", "300"))
    before = tree(finished)
    assert_refused(call(*place, *flags(resume=True, shots=1)), "--shots is 5 there and 1 here")
    words = ["--no-transductive", "--resume"]
    assert_refused(call(*place, *words), "--transductive is True there and False here")
    assert tree(finished) == before


def test_a_run_that_cannot_be_written_is_evaluated(data: Path, finished: Path) -> None:
    before = tree(finished)
    place = flags(data_dir=data, checkpoint=finished)
    as_trained = ["--pretrained", "--transductive"]
    with read_only(finished):
        outcome = call(*place, *as_trained)
        assert_refused(call(*place, "--resume"), str(finished), "Read-only")
    assert outcome.code == 0, outcome.err
    assert outcome.err == f"Note: {finished} cannot be written, so nothing is stored there\n"
    assert tree(finished) == before
    assert outcome.accuracies == call(*place, *as_trained).accuracies


@pytest.mark.parametrize("how", ["--resume", "--pretrained"])
def test_without_a_run_there_is_nothing_to_continue(data: Path, tmp_path: Path, how: str) -> None:
    place = flags(data_dir=data, checkpoint=tmp_path / "run")
    assert_refused(call(*TINY, *place, how), str(tmp_path / "run"), "no run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    assert_refused(call(*TINY, *place, how), str(tmp_path / "run"), "no run")
    assert not list((tmp_path / "run").iterdir())


def test_other_images_are_refused(data: Path, finished: Path, tmp_path: Path) -> None:
    other = shutil.copytree(data, tmp_path / "other")
    shutil.rmtree(next(other.glob("*/character03")))
    before = tree(finished)
    assert_refused(call(*flags(data_dir=other, checkpoint=finished, resume=True)), "images")
    assert tree(finished) == before


@pytest.mark.parametrize("how", ["resume", "overwrite", "pretrained"])
def test_a_run_at_work_is_left_alone(data: Path, finished: Path, how: str) -> None:
    before = tree(finished)
    with (finished / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        settings = [] if how != "overwrite" else EXACT
        place = flags(data_dir=data, checkpoint=finished, **{how: True})
        assert_refused(call(*settings, *place), str(finished), "another process")
    assert tree(finished) == before


def test_an_evaluation_without_a_checkpoint_is_refused(data: Path, finished: Path) -> None:
    shutil.rmtree(finished / "checkpoints")
    before = tree(finished)
    outcome = call(*flags(data_dir=data, checkpoint=finished, pretrained=True))
    assert_refused(outcome, str(finished), "no checkpoint", "--resume")
    assert tree(finished) == before


def test_overwriting_starts_anew_and_spares_foreign_files(data: Path, finished: Path) -> None:
    (finished / "notes.txt").write_text("years of work")
    (finished / "figures").mkdir()
    (finished / "figures" / "one.svg").write_text("<svg/>")
    place = flags(data_dir=data, checkpoint=finished, meta_iters=7, eval_samples=3)
    outcome = call(*TINY, *place, "--overwrite")
    assert outcome.code == 0, outcome.err
    assert (finished / "notes.txt").read_text() == "years of work"
    assert (finished / "figures" / "one.svg").read_text() == "<svg/>"
    assert saved_steps(finished) == [7]
    assert len((finished / "metrics.jsonl").read_text().splitlines()) == 2
    (evaluation,) = json.loads((finished / "results.json").read_text())["evaluations"]
    assert evaluation["settings"]["eval_episodes"] == 3
    assert len(list((finished / "episodes").iterdir())) == 1
    assert json.loads((finished / "config.json").read_text())["config"]["outer_steps"] == 7


def test_an_error_without_words_has_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(prefix: str) -> None:
        raise MemoryError

    (tmp_path / "checkpoints").mkdir()
    assert newest_readable(tmp_path, read) is None
    (tmp_path / "checkpoints" / "ckpt-7.index").touch()
    with pytest.raises(UserError, match="none of its checkpoints can be read"):
        newest_readable(tmp_path, read)
    assert "ckpt-7 cannot be read (MemoryError)" in capsys.readouterr().err


def test_what_an_interrupted_overwriting_left_is_not_continued(data: Path, finished: Path) -> None:
    """Without its configuration an old run is no run, and its weights are not for a new one."""
    (finished / "config.json").unlink()
    before = tree(finished)
    outcome = call(*TINY, *flags(data_dir=data, checkpoint=finished, meta_iters=1, eval_samples=1))
    assert_refused(outcome, str(finished), "--overwrite")
    assert tree(finished) == before


# Sound for training with 5 shots, and with 1 shot they would not be.
ONLY_FOR_TRAINING = {
    "a tail": flags(foml=True, foml_tail=2),
    "large batches": flags(replacement=True, inner_batch=15, eval_batch=3),
}


@pytest.mark.parametrize("case", ONLY_FOR_TRAINING)
def test_flags_of_training_do_not_hinder_evaluation(data: Path, tmp_path: Path, case: str) -> None:
    """A run trained with as many examples as --shots is evaluated with fewer."""
    place = flags(data_dir=data, checkpoint=tmp_path / "run", eval_samples=1)
    once = flags(shots=5, train_shots=0, meta_iters=1)
    outcome = call(*TINY, *place, *once, *ONLY_FOR_TRAINING[case])
    assert outcome.code == 0, outcome.err
    outcome = call(*place, *flags(pretrained=True, shots=1))
    assert outcome.code == 0, outcome.err
    assert len(outcome.accuracies) == 2
