"""`reptile sine` as people run it: what it learns, what it leaves, how it is continued."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from command_line import (
    Cue,
    Outcome,
    assert_refused,
    assert_same_state,
    call,
    execute,
    flags,
    saved_steps,
    tree,
)
from PIL import Image

from supervised_reptile.cli.main import reptile
from supervised_reptile.errors import UserError
from supervised_reptile.paper.sine import program
from supervised_reptile.runs.read_run import (
    read_episodes,
    read_evaluations,
    read_fits,
    read_metrics,
)

MODULE = ("-m", "supervised_reptile", "sine")
FIGURES = ("fit.png", "gradient_steps.png", "training.gif")
SHORT = flags(
    meta_iters=3100, eval_interval=100, save_interval=250, eval_samples=30, no_compare=True
)


def sine(*arguments: object) -> Outcome:
    return call("sine", *arguments, command=reptile)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A run of a sixth of the published length, with all algorithms beside it."""
    run = tmp_path_factory.mktemp("sine") / "run"
    outcome = sine(*flags(out=run, meta_iters=5000, eval_samples=400))
    assert outcome.code == 0, outcome.err
    return run, outcome


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A run of a moment, never interrupted."""
    run = tmp_path_factory.mktemp("short") / "run"
    return run, sine(*SHORT, *flags(out=run))


def losses_of(run: Path) -> np.ndarray:
    """Losses on new waves, [waves, inner steps + 1]."""
    (evaluation,) = read_evaluations(run)
    return read_episodes(run, evaluation)["loss"]


# ---- what is learnt


def test_reptile_foml_and_maml_learn_to_learn_waves(compared: tuple[Path, Outcome]) -> None:
    run, _ = compared
    joint = losses_of(run / "compare" / "joint")[:, -1].mean()
    for folder in (run, run / "compare" / "foml", run / "compare" / "maml"):
        before, after = losses_of(folder)[:, [0, -1]].mean(axis=0)
        assert after < 1.2, folder
        assert after < before / 3, folder
        assert after < joint / 2, folder


def test_joint_training_fails(compared: tuple[Path, Outcome]) -> None:
    """It learns the mean of all waves, zero, from which ten points are not enough."""
    run, _ = compared
    joint, reptile_run = losses_of(run / "compare" / "joint"), losses_of(run)
    assert joint[:, -1].mean() > 1
    assert joint[:, -1].mean() > 4 * reptile_run[:, -1].mean()
    (zero,) = read_fits(run / "compare" / "joint")["predictions"][-1:, 0]
    assert np.abs(zero).mean() < 0.35  # amplitudes go up to 5


def test_all_algorithms_are_judged_by_the_same_waves(compared: tuple[Path, Outcome]) -> None:
    run, _ = compared
    folders = [run, *sorted((run / "compare").iterdir())]
    assert [folder.name for folder in folders] == ["run", "foml", "joint", "maml"]
    settings = [read_evaluations(folder)[0]["settings"] for folder in folders]
    assert settings == [settings[0]] * 4
    for folder in folders:
        config = json.loads((folder / "config.json").read_text())["config"]
        assert config["inner_steps"] == (1 if folder.name == "joint" else 5)
        assert config["seed"] == 0


# ---- what is shown and left


def test_the_loss_on_the_plotted_wave_is_printed_and_logged(compared: tuple[Path, Outcome]) -> None:
    run, outcome = compared
    lines = [line for line in outcome.out.splitlines() if line.startswith("after outer step")]
    assert len(lines) == 5  # nothing of the other algorithms
    metrics = read_metrics(run)
    assert metrics["step"].tolist() == [0, 1000, 2000, 3000, 4000]
    for line, step, loss in zip(lines, metrics["step"], metrics["loss"], strict=True):
        assert line == f"after outer step {step}: loss on the plotted wave {loss:.4f}"
    assert metrics["loss"][-1] < metrics["loss"][0] / 3


def test_mean_and_median_with_intervals_are_printed_and_stored(
    compared: tuple[Path, Outcome],
) -> None:
    run, outcome = compared
    losses = losses_of(run)
    assert losses.shape == (400, 33)
    stored = read_evaluations(run)[0]["loss"]
    for name, values in (("before", losses[:, 0]), ("after", losses[:, -1])):
        assert stored[name]["mean"] == pytest.approx(values.mean())
        assert stored[name]["median"] == pytest.approx(np.median(values))
        assert stored[name]["half_width"] == pytest.approx(1.96 * values.std(ddof=1) / 20)
        low, high = stored[name]["median_interval"]
        reach = 1.96 * 0.5 / 20  # of the share of losses below the true median
        assert (values < low).mean() == pytest.approx(0.5 - reach, abs=0.006)
        assert (values < high).mean() == pytest.approx(0.5 + reach, abs=0.006)
        when = "before" if name == "before" else "after 32"
        (line,) = [ln for ln in outcome.out.splitlines() if f"new waves {when} inner steps" in ln]
        assert f"mean {values.mean():.4f} +- {stored[name]['half_width']:.4f}" in line
        assert f"median {np.median(values):.4f} ({low:.4f} to {high:.4f})" in line
    row = next(line for line in outcome.out.splitlines() if line.startswith("Reptile "))
    assert f"{losses[:, -1].mean():.4f}" in row
    assert f"{np.median(losses[:, -1]):.4f}" in row


def test_figures(compared: tuple[Path, Outcome]) -> None:
    run, _ = compared
    for name in FIGURES:
        with Image.open(run / name) as picture:
            assert min(picture.size) > 250
            colors = picture.convert("RGB").getcolors(maxcolors=2**24)
            assert max(colors)[1] == (255, 255, 255)  # a light background
    study = json.loads((run / "study.json").read_text())
    assert [figure["file"] for figure in study["figures"]] == list(FIGURES[:2])
    assert study["commands"] == [f"reptile sine --out {run} --meta-iters 5000 --eval-samples 400"]
    folders = [run, *(run / "compare").iterdir()]
    trained = sum(read_evaluations(folder)[0]["training_seconds"] for folder in folders)
    assert study["seconds"] == pytest.approx(trained, abs=0.03)  # rounded there
    rows = [row[0] for row in study["tables"][0]["rows"]]
    assert rows == ["Reptile", "FOML", "MAML", "joint training", "random initialization"]


def test_the_animation_goes_from_the_initialization_to_the_end(
    compared: tuple[Path, Outcome],
) -> None:
    run, _ = compared
    fits = read_fits(run)
    assert fits["step"].tolist() == list(range(0, 5000, 250))
    assert fits["predictions"].shape == (20, 5, 50)
    with Image.open(run / "training.gif") as movie:
        assert movie.n_frames == 22  # before, after, and between
        assert movie.info["loop"] == 0
        seen = set()
        for frame in range(movie.n_frames):
            movie.seek(frame)
            seen.add(movie.convert("RGB").tobytes())
        assert len(seen) == 22


def test_a_report_shows_the_study(compared: tuple[Path, Outcome], tmp_path: Path) -> None:
    outcome = call("report", compared[0], "--out", tmp_path / "page", command=reptile)
    assert outcome.code == 0, outcome.err
    page = next(tmp_path.rglob("report.md")).read_text()
    assert "Few-shot regression of sine waves" in page
    assert "joint training" in page


# ---- continued, evaluated, refused


def assert_same_run(run: Path, wanted: Path) -> None:
    assert_same_state(run, wanted)
    for name in ("metrics.jsonl", "fits.jsonl", "fit.png", "training.gif"):
        assert (run / name).read_bytes() == (wanted / name).read_bytes(), name
    np.testing.assert_array_equal(losses_of(run), losses_of(wanted))


def test_ctrl_c_and_resume_end_in_the_same_bits(
    short: tuple[Path, Outcome], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    cue = Cue("after outer step", 3, signal.SIGINT)
    stopped = execute(*SHORT, *flags(out=run), cue=cue, program=MODULE)
    assert stopped.code == 130, stopped
    message = stopped.err.strip().splitlines()[-1]
    assert f"--out {run} --resume" in message
    assert saved_steps(run)[-1] < 3100
    # with calls of other lengths
    resumed = sine(*flags(out=run, resume=True, no_compare=True, save_interval=70))
    assert resumed.code == 0, resumed.err
    assert_same_run(run, short[0])


def test_evaluating_with_other_points(short: tuple[Path, Outcome], tmp_path: Path) -> None:
    run = shutil.copytree(short[0], tmp_path / "run")
    before = tree(run)
    outcome = sine(*flags(out=run, pretrained=True, shots=20, eval_iters=3, no_compare=True))
    assert outcome.code == 0, outcome.err
    assert len(read_evaluations(run)) == 2
    assert not [line for line in outcome.out.splitlines() if line.startswith("after outer")]
    after = tree(run)
    for name in ("metrics.jsonl", "fits.jsonl", "training.gif", "config.json"):
        assert after[name] == before[name], name
    assert after["fit.png"] != before["fit.png"]


@pytest.mark.parametrize(
    "more",
    [
        flags(activation="relu", algorithm="foml", foml_tail=10),
        flags(
            adam=True,
            learning_rate=0.001,
            meta_batch=3,
            hidden_units=8,
            hidden_layers=3,
            points=30,
            replacement=True,
        ),
        flags(amplitude_min=1, amplitude_max=2, phase_max=1, x_min=0, x_max=3, eval_iters=2),
    ],
)
def test_every_number_of_the_setting_may_be_another(tmp_path: Path, more: list[str]) -> None:
    small = flags(out=tmp_path / "run", meta_iters=20, eval_samples=5, no_compare=True)
    outcome = sine(*small, *more)
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "run" / "fit.png").exists()


REFUSED = {
    "MAML through Adam": (flags(algorithm="maml", adam=True), ["--algorithm maml", "--sgd"]),
    "more shots than points": (flags(shots=60), ["--shots 60", "50", "--points"]),
    "amplitudes upside down": (flags(amplitude_max=0.05), ["--amplitude-min", "--amplitude-max"]),
    "no room for x": (flags(x_min=5), ["--x-min 5", "--x-max 5"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_settings_that_contradict_each_other(tmp_path: Path, case: str) -> None:
    given, words = REFUSED[case]
    assert_refused(sine(*flags(out=tmp_path / "run"), *given), *words, code=2)
    assert not (tmp_path / "run").exists()


def test_a_batch_larger_than_what_it_is_drawn_from(tmp_path: Path) -> None:
    place = flags(out=tmp_path / "run", replacement=True)
    assert_refused(sine(*place, *flags(eval_batch=11)), "--eval-batch 11", "10 examples")
    assert not (tmp_path / "run").exists()


def test_a_run_that_trains_anew_has_no_study_of_the_old_one(
    short: tuple[Path, Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shutil.copytree(short[0], tmp_path / "run")
    assert (run / "study.json").exists()

    def interrupted(_: object) -> None:
        raise UserError("stopped")

    monkeypatch.setattr(program, "train_run", interrupted)
    assert_refused(sine(*SHORT, *flags(out=run), "--overwrite"), "stopped")
    assert not (run / "study.json").exists()


def test_a_run_is_neither_replaced_nor_continued_as_another(short: tuple[Path, Outcome]) -> None:
    run = short[0]
    before = tree(run)
    assert_refused(sine(*flags(out=run)), str(run), "--resume", "--overwrite")
    contradiction = sine(*flags(out=run, resume=True, activation="relu", points=40))
    assert_refused(contradiction, "--activation is tanh there", "--points is 50 there", "--out")
    other = call("omniglot", *flags(checkpoint=run, resume=True), command=reptile)
    assert_refused(other, str(run), "sine waves")
    assert_refused(call("compare", run, command=reptile), str(run), "sine waves")
    assert tree(run) == before


def test_divergence_is_told(tmp_path: Path) -> None:
    outcome = sine(*SHORT, *flags(out=tmp_path / "run", learning_rate=1e6))
    assert_refused(outcome, "diverged", "--learning-rate")


def test_help_teaches() -> None:
    outcome = sine("--help")
    assert outcome.code == 0
    for flag in ("--activation", "--points", "--amplitude-max", "--sgd / --adam", "--no-compare"):
        assert flag in outcome.out
    for flag in (
        "--data-dir", "--transductive", "--val-classes", "--classes", "--eval-splits",
        "--checkpoint", "NAME",
    ):  # fmt: skip
        assert flag not in outcome.out
