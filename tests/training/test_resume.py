"""Runs stopped at any moment and continued end in the same bytes as one never stopped."""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import (
    EXACT,
    TINY,
    Cue,
    Outcome,
    assert_same_end,
    call,
    drawn_alphabets,
    execute,
    flags,
    reference,
    saved_steps,
)

Stages = list[Outcome]  # of one run, one after the other


def new(data: Path, run: Path, **more: object) -> list[str]:
    """The command line that starts the run of the reference in another directory."""
    return [*EXACT, *flags(data_dir=data, checkpoint=run, **more)]


def resume(data: Path, run: Path, **more: object) -> list[str]:
    return flags(data_dir=data, checkpoint=run, resume=True, **more)


def one_thread(data: Path, run: Path) -> Stages:
    return [execute(*new(data, run, threads=1))]


def newest_damaged(data: Path, run: Path) -> Stages:
    """The last of three checkpoints lost its end; the metrics are those of the whole run."""
    whole = call(*new(data, run, save_interval=90))
    shutil.copytree(run, undamaged(run))
    os.truncate(run / "checkpoints" / "ckpt-400.data-00000-of-00001", 500_000)
    return [whole, call(*resume(data, run))]


def undamaged(run: Path) -> Path:
    """Where `newest_damaged` keeps the run that it damages."""
    return run.with_name("undamaged")


def killed_early_then_ctrl_c(data: Path, run: Path) -> Stages:
    """kill -9 before the first checkpoint, Ctrl-C in the continuation."""
    return [
        execute(*new(data, run, save_interval=200), cue=Cue("batch", 4, signal.SIGKILL)),
        execute(*resume(data, run, save_interval=200), cue=Cue("batch", 13, signal.SIGINT)),
        call(*resume(data, run)),
    ]


def terminated_then_killed(data: Path, run: Path) -> Stages:
    """SIGTERM, then kill -9 well after a checkpoint: what came after that is done again."""
    return [
        execute(*new(data, run), cue=Cue("batch", 9, signal.SIGTERM)),
        execute(*resume(data, run, save_interval=100), cue=Cue("batch", 25, signal.SIGKILL)),
        call(*resume(data, run)),
    ]


STORIES = (
    one_thread,
    newest_damaged,
    killed_early_then_ctrl_c,
    terminated_then_killed,
)
Told = Callable[[Callable], tuple[Path, Stages]]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Gives a story's run directory and outcomes."""
    data = drawn_alphabets(tmp_path_factory)
    base = tmp_path_factory.mktemp("stories")

    @functools.cache
    def tell(story: Callable) -> tuple[Path, Stages]:
        run = base / story.__name__
        return run, story(data, run)

    return tell


@pytest.mark.parametrize("story", STORIES)
def test_the_end_is_the_same_to_the_last_bit(
    story: Callable, told: Told, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run, stages = told(story)
    assert_same_end(run, stages[-1], *reference(tmp_path_factory))


def test_the_save_interval_does_not_matter(
    told: Told, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run, stages = told(newest_damaged)
    assert_same_end(undamaged(run), stages[0], *reference(tmp_path_factory))
    assert saved_steps(undamaged(run)) == [270, 360, 400]


@pytest.mark.parametrize("story", [killed_early_then_ctrl_c, terminated_then_killed])
def test_every_line_of_the_lost_time_is_the_same_again(
    story: Callable, told: Told, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What the parts of a run print is what the whole prints, repetitions included."""
    whole = reference(tmp_path_factory)[1].looks
    for stage in told(story)[1]:
        assert stage.looks
        start = whole.index(stage.looks[0])
        assert stage.looks == whole[start : start + len(stage.looks)]


def test_exit_codes_and_messages(told: Told) -> None:
    killed, interrupted, _ = told(killed_early_then_ctrl_c)[1]
    assert killed.code == -signal.SIGKILL
    assert interrupted.code == 130
    assert interrupted.looks[0].startswith("batch 0:")  # there was no checkpoint to continue from
    terminated, killed, last = told(terminated_then_killed)[1]
    assert terminated.code == 143
    assert killed.code == -signal.SIGKILL
    done = int(killed.looks[-1].split()[1].rstrip(":"))
    assert int(last.looks[0].split()[1].rstrip(":")) == done // 100 * 100
    for outcome in (interrupted, terminated):
        assert "Traceback" not in outcome.err
        message = outcome.err.strip().splitlines()[-1]
        assert re.search(r"saved after outer step \d+\. .*--resume", message)


def test_a_signal_loses_no_step(told: Told) -> None:
    """The continuation begins right after the step that the message names."""
    terminated, following, _ = told(terminated_then_killed)[1]
    step = int(re.search(r"saved after outer step (\d+)", terminated.err)[1])
    assert following.looks[0].startswith(f"batch {-(-(step + 1) // 5) * 5}:")


def test_checkpoints_are_at_most_three(told: Told) -> None:
    for story in STORIES:
        assert 1 <= len(saved_steps(told(story)[0])) <= 3


def test_a_damaged_checkpoint_is_passed_over_with_a_warning(told: Told) -> None:
    run, (_, resumed) = told(newest_damaged)
    (warning,) = [line for line in resumed.err.splitlines() if "ckpt-400" in line]
    assert "Warning" in warning
    assert "Traceback" not in resumed.err
    assert resumed.looks[0].startswith("batch 360:")
    assert saved_steps(run) == [270, 360, 400]


def test_the_message_names_flags_that_continue(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it says is enough, in whichever folder the data may lie."""
    run, stages = told(terminated_then_killed)
    advice = re.search(r"(--\S.*)", stages[0].err.strip().splitlines()[-1])[1]
    copy = shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(copy / "checkpoints")
    monkeypatch.chdir(tmp_path)
    outcome = call(*shlex.split(advice.replace(str(run), str(copy)).rstrip(".")))
    assert outcome.code == 0, outcome.err
    assert len(outcome.looks) == 80


def test_resuming_a_finished_run_only_evaluates(told: Told, tmp_path: Path) -> None:
    run = shutil.copytree(told(one_thread)[0], tmp_path / "run")
    before = (run / "metrics.jsonl").read_bytes()
    place = flags(checkpoint=run, resume=True)
    stored = json.loads((run / "config.json").read_text())["config"]["data_dir"]
    outcome = call(*place, *flags(data_dir=stored))
    assert outcome.code == 0, outcome.err
    assert not outcome.looks
    assert len(outcome.accuracies) == 2
    assert (run / "metrics.jsonl").read_bytes() == before


def test_ctrl_c_in_the_last_moment_of_training_is_heard(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """Nobody who pressed it wants to wait for the evaluation."""
    data, run = drawn_alphabets(tmp_path_factory), tmp_path / "run"
    once = flags(data_dir=data, checkpoint=run, meta_iters=1, eval_samples=1000)
    outcome = call(*TINY, *once, cue=Cue("batch", 1, signal.SIGINT))
    assert outcome.code == 130, outcome.out
    assert "Traceback" not in outcome.err
    assert "Test accuracy" not in outcome.out
    assert saved_steps(run) == [1]


def test_ctrl_c_after_training_names_the_command_that_evaluates(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    data, run = drawn_alphabets(tmp_path_factory), tmp_path / "a run"
    once = flags(data_dir=data, checkpoint=run, meta_iters=1, eval_samples=100_000)
    outcome = call(*TINY, *once, cue=Cue("Evaluating", 1, signal.SIGINT))
    assert outcome.code == 130
    message = outcome.err.strip().splitlines()[-1]
    assert "The training is complete and stored" in message
    program, *words = shlex.split(message.partition("to evaluate it: ")[2])
    assert program == "run_omniglot.py"
    shorter = ("--no-transductive", "--eval-samples", "99999")
    outcome = call(*words, *shorter, cue=Cue("Evaluating", 1, signal.SIGINT))
    assert outcome.code == 130
    _, *words = shlex.split(outcome.err.strip().partition("to evaluate it: ")[2])
    assert sorted(words[-3:]) == sorted(shorter)
    outcome = call(*words, "--eval-samples", "5")
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("Evaluating... 3-way 1-shot, non-transductive (")
    assert len(outcome.accuracies) == 2


def test_the_save_interval_stays_unless_another_is_given(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    data, run = drawn_alphabets(tmp_path_factory), tmp_path / "run"
    short = flags(data_dir=data, checkpoint=run, meta_iters=12, save_interval=4, eval_samples=1)
    assert call(*TINY, *short).code == 0
    for given, saved in (((), [4, 8, 12]), (flags(save_interval=5), [5, 10, 12])):
        shutil.rmtree(run / "checkpoints")
        assert call(*resume(data, run), *given).code == 0
        assert saved_steps(run) == saved


def test_damaged_checkpoints_are_told_in_our_words_alone(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """TensorFlow would add four lines of its own when the program ends."""
    run = shutil.copytree(reference(tmp_path_factory)[0], tmp_path / "run")
    with next((run / "checkpoints").glob("*.data-*")).open("r+b") as file:
        file.seek(100)
        file.write(b"damaged")
    outcome = execute(*resume(drawn_alphabets(tmp_path_factory), run))
    assert outcome.code == 1
    warning, error = outcome.err.splitlines()
    assert warning.startswith("Warning: checkpoint ")
    assert "Checksum does not match" in warning
    assert "{{" not in warning
    assert error.startswith(f"Error: {run}: none of its checkpoints can be read")


def test_ctrl_c_during_the_evaluation_is_no_traceback(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    path, _ = reference(tmp_path_factory)
    run, data = shutil.copytree(path, tmp_path / "run"), drawn_alphabets(tmp_path_factory)
    before = (run / "results.json").read_bytes()
    place = flags(data_dir=data, checkpoint=run, pretrained=True, eval_samples=100_000)
    outcome = call(*place, cue=Cue("Evaluating", 1, signal.SIGINT))
    assert outcome.code == 130
    assert outcome.err.endswith("The same command starts again.\n")
    assert "Traceback" not in outcome.err
    assert (run / "results.json").read_bytes() == before
