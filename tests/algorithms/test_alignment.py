"""How well gradients of different mini-batches agree: computed, judged, logged and resumed."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
import small_problem as small
from command_line import (
    EXACT,
    Cue,
    Outcome,
    assert_refused,
    assert_same_state,
    call,
    execute,
    flags,
    real_omniglot,
    reference,
)
from PIL import Image
from slow_reference import Batch, SlowLearner
from test_stacked import stacked_learner

from supervised_reptile.data.episodes import TaskShape
from supervised_reptile.runs.gradient_alignment import errors, means, summary
from supervised_reptile.runs.read_run import read_alignment

TASKS = small.small_tasks(TaskShape(way=3, shots=4, steps=2, batch=5), steps=1, tasks=6)


def slow_gradients() -> np.ndarray:
    """Of both batches of each task, one after the other, float64 [tasks, 2, P]."""
    slow = SlowLearner(small.classifier(small.ADAM), *small.flat(small.some_state()))
    return np.array(
        [
            [
                slow.gradient(Batch(small.inputs(rows), labels))
                for rows, labels in zip(TASKS.rows[task], TASKS.labels[task], strict=True)
            ]
            for task in range(6)
        ]
    )


def test_products_and_cosines_are_those_of_single_gradients() -> None:
    learner, gradients = small.small_learner(small.ADAM), slow_gradients()
    before = small.flat(learner.state)
    products, cosines = learner.gradient_products(small.task_batch(TASKS))
    for t in range(6):
        for u in range(6):
            one, other = gradients[t, 0], gradients[u, 1]
            small.assert_close(products[t, u], one @ other)
            small.assert_close(
                cosines[t, u], one @ other / np.linalg.norm(one) / np.linalg.norm(other)
            )
    for old, new in zip(before, small.flat(learner.state), strict=True):
        np.testing.assert_array_equal(old, new)
    assert learner.traces == 1


def test_the_form_for_accelerators_agrees() -> None:
    one, other = stacked_learner(small.ADAM), small.small_learner(small.ADAM)
    found = (learner.gradient_products(small.task_batch(TASKS)) for learner in (one, other))
    small.assert_close(*found)


def test_means_of_the_same_and_of_different_tasks() -> None:
    matrix = np.array([[1.0, 10, 20], [30, 2, 40], [50, 60, 3]])
    assert means(matrix).tolist() == [2, 35]
    found = summary(np.stack([matrix, matrix / 100]))
    assert list(found) == [
        "same_product",
        "same_product_error",
        "different_product",
        "different_product_error",
        "same_cosine",
        "same_cosine_error",
        "different_cosine",
        "different_cosine_error",
    ]
    assert found["different_cosine"] == pytest.approx(0.35)
    assert found["same_cosine_error"] == pytest.approx(found["same_product_error"] / 100)


def test_the_error_for_the_same_task_is_that_of_a_mean() -> None:
    matrix = np.random.default_rng(0).normal(size=(20, 20))
    assert errors(matrix)[0] == pytest.approx(np.diag(matrix).std(ddof=1) / np.sqrt(20))


def test_errors_are_what_repetition_shows() -> None:
    """Gradients with a part common to all tasks, one of the task, and one of the batch."""
    random = np.random.default_rng(1)

    def draw() -> np.ndarray:
        own = random.normal(size=(20, 1, 30)) + 0.7 * random.normal(size=(20, 2, 30))
        first, second = np.moveaxis(0.4 + own, 1, 0)
        return first @ second.T

    repeated = [draw() for _ in range(2000)]
    spread = np.std([means(matrix) for matrix in repeated], axis=0)
    told = np.sqrt(np.mean([errors(matrix) ** 2 for matrix in repeated], axis=0))
    np.testing.assert_allclose(told, spread, rtol=0.1)
    np.testing.assert_allclose(
        np.mean([means(m) for m in repeated], axis=0), [34.8, 4.8], rtol=0.02
    )


# ---- through the command line

PAPER = flags(
    train_shots=10,
    inner_batch=10,
    inner_iters=5,
    meta_step=1,
    meta_step_final=0,
    meta_batch=5,
    meta_iters=200,
    eval_iters=5,
    eval_interval=20,
    eval_samples=5,
)


@pytest.fixture(scope="module")
def logged(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """The run of the reference, with alignment."""
    run = tmp_path_factory.mktemp("alignment") / "run"
    return run, call(*EXACT, *flags(data_dir=data, checkpoint=run, log_alignment=True))


def test_logging_changes_nothing_else(
    logged: tuple[Path, Outcome], tmp_path_factory: pytest.TempPathFactory
) -> None:
    (run, outcome), (wanted, whole) = logged, reference(tmp_path_factory)
    assert outcome.code == whole.code == 0, outcome.err
    assert_same_state(run, wanted)
    assert (run / "metrics.jsonl").read_bytes() == (wanted / "metrics.jsonl").read_bytes()
    assert outcome.out == whole.out
    assert not (wanted / "alignment.jsonl").exists()
    assert not (wanted / "alignment.png").exists()


def test_every_look_is_logged_and_drawn(logged: tuple[Path, Outcome]) -> None:
    run, _ = logged
    columns = read_alignment(run)
    assert columns["step"].tolist() == list(range(0, 400, 5))
    for pair in ("same", "different"):
        assert (np.abs(columns[f"{pair}_cosine"]) <= 1).all()
        assert (columns[f"{pair}_cosine_error"] > 0).all()
    assert len(np.unique(columns["same_product"])) == 80
    with Image.open(run / "alignment.png") as image:
        image.load()
    for pair in ("same_task", "different_task"):
        assert len(list((run / "tensorboard" / pair).iterdir())) == 1


def test_gradients_of_a_task_agree_more_than_those_of_different_tasks(
    logged: tuple[Path, Outcome],
) -> None:
    """Mean cosines of 20 looks: 0.041 and 0.001, with standard errors of 0.003 and 0.0004."""
    last = {name: column[-20:].mean() for name, column in read_alignment(logged[0]).items()}
    assert last["same_cosine"] > last["different_cosine"] + 0.02


@pytest.mark.soak
def test_it_rises_within_tasks_of_the_real_omniglot(tmp_path: Path) -> None:
    """Cosines, the first time as measured: 0.05 +- 0.015 after one outer step, 0.28 +- 0.01 now."""
    run = tmp_path / "run"
    outcome = call(*PAPER, *flags(data_dir=real_omniglot(), checkpoint=run, log_alignment=True))
    assert outcome.code == 0, outcome.err
    columns = read_alignment(run)
    same, different = columns["same_cosine"], columns["different_cosine"]
    assert same[-5:].mean() > same[0] + 0.1
    assert abs(different[-5:].mean()) < 0.05


def test_an_interrupted_run_logs_the_same_bytes(
    data: Path, logged: tuple[Path, Outcome], tmp_path: Path
) -> None:
    """kill -9 well after a checkpoint, then Ctrl-C; --resume need not be told of the flag again."""
    run = tmp_path / "run"
    place = flags(data_dir=data, checkpoint=run)
    killed = execute(
        *EXACT, *place, *flags(log_alignment=True, save_interval=50),
        cue=Cue("batch", 15, signal.SIGKILL),
    )  # fmt: skip
    assert killed.code == -signal.SIGKILL
    assert len(lines(run)) > 10
    last = call(*place, "--resume", cue=Cue("batch", 9, signal.SIGINT))
    assert last.code == 130, last.err
    assert last.looks[0].startswith("batch 50:")
    assert lines(run) == lines(logged[0])[: len(lines(run))]


def lines(run: Path) -> list[bytes]:
    return (run / "alignment.jsonl").read_bytes().splitlines(keepends=True)


def test_a_run_is_continued_as_it_was_begun(data: Path, finished: Path) -> None:
    outcome = call(*flags(data_dir=data, checkpoint=finished, resume=True, log_alignment=True))
    assert_refused(outcome, "--log-alignment is False there and True here")
