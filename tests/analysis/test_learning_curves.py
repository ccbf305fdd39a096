"""Learning curves of one run and of many, and `reptile plot`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from command_line import Outcome, assert_refused, call, tree
from PIL import Image
from stored_runs import write_metrics, write_run

from supervised_reptile.analysis import learning_curves
from supervised_reptile.analysis.learning_curves import Series, draw, plot_learning_curve
from supervised_reptile.analysis.plots import COLORS
from supervised_reptile.cli.main import reptile


def plotted_run(path: Path, looks: int, held_out: str = "test") -> Path:
    """As much of a run directory as a plot reads."""
    return write_metrics(write_run(path), looks, held_out)


def pixels_like(path: Path, color: str) -> np.ndarray:
    """Rows and columns of the pixels in nearly the colour, int [2, pixels]."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        found = np.asarray(image.convert("RGB")).astype(int)
    wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return np.array(np.nonzero(np.abs(found - wanted).max(axis=2) < 8))


# ---- the picture that training leaves


def test_both_curves_are_drawn_where_they_belong(tmp_path: Path) -> None:
    path = plot_learning_curve(write_metrics(tmp_path, 200))
    assert path == tmp_path / "learning_curve.png"
    train, test = (pixels_like(path, color) for color in COLORS[:2])
    assert train.shape[1] > 300
    assert test.shape[1] > 300
    rising = np.corrcoef(train)[0, 1]
    assert rising < -0.7  # rows count downwards
    level = np.median(test[0])
    assert (np.abs(test[0] - level) <= 3).mean() > 0.8
    assert train[0].min() < level < train[0].max()


@pytest.mark.parametrize("looks", [1, 2, 3])
def test_a_few_looks_are_enough(tmp_path: Path, looks: int) -> None:
    path = plot_learning_curve(write_metrics(tmp_path, looks, "val"))
    with Image.open(path) as image:
        image.load()


def test_no_looks_no_figure(tmp_path: Path) -> None:
    assert plot_learning_curve(write_metrics(tmp_path, 0)) is None
    assert not (tmp_path / "learning_curve.png").exists()


# ---- many curves in a figure


def some_series(count: int, length: int = 40) -> list[Series]:
    """Curves that end close together, named by their number."""
    random = np.random.default_rng(0)
    steps = np.arange(length) * 10
    return [
        Series(f"run {i:02}", steps, np.clip(random.normal(0.8, 0.05, length), 0, 1), "#0072B2")
        for i in range(count)
    ]


@pytest.mark.parametrize("count", [1, 4, 25, 60])
def test_labels_are_inside_the_figure_and_never_overlap(count: int) -> None:
    figure = draw(some_series(count), "title")
    figure.draw_without_rendering()
    (axes,) = figure.axes
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text().startswith("run")]
    assert len(boxes) == count
    boxes.sort(key=lambda box: box.y0)
    assert all(a.y1 <= b.y0 for a, b in pairwise(boxes))
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert all(figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1 for box in boxes)
    assert axes.get_window_extent().width > 0.5 * figure.bbox.width


def test_every_look_is_drawn_behind_its_curve() -> None:
    series = some_series(2, length=30)
    (axes,) = draw(series, "title").axes
    dots = [line for line in axes.lines if line.get_marker() == "."]
    for line, expected in zip(dots, series, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), expected.accuracies)
        assert line.get_alpha() <= 0.35


def test_names_are_not_taken_for_formulas() -> None:
    strange = some_series(1)[0]._replace(name="a$x^$b_{$")
    figure = draw([strange], "title")
    figure.draw_without_rendering()
    assert "a$x^$b_{$" in [text.get_text() for text in figure.axes[0].texts]


# ---- the command


def plot(*arguments: object) -> Outcome:
    return call("plot", *arguments, command=reptile)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[list[Series]]:
    """The curves of every figure that is drawn from now on."""
    figures: list[list[Series]] = []

    def watched(series, title):
        figures.append(list(series))
        return draw(series, title)

    monkeypatch.setattr(learning_curves, "draw", watched)
    return figures


def test_runs_are_plotted(tmp_path: Path, drawn: list) -> None:
    runs = [plotted_run(tmp_path / "runs" / name, 50) for name in ("one", "two")]
    before = [tree(run) for run in runs]
    outcome = plot(*runs, "--out", tmp_path / "new" / "both.png")
    assert (outcome.code, outcome.out) == (0, f"wrote {tmp_path / 'new' / 'both.png'}\n")
    with Image.open(tmp_path / "new" / "both.png") as image:
        image.load()
    (series,) = drawn
    assert [(s.name, s.color, s.dash) for s in series] == [
        ("one", COLORS[0], "-"),
        ("two", COLORS[1], "-"),
    ]
    assert all((s.accuracies == 0.2).all() for s in series)
    assert [tree(run) for run in runs] == before


def test_held_out_is_validation_where_there_is_one(tmp_path: Path, drawn: list) -> None:
    runs = [plotted_run(tmp_path / split, 9, split) for split in ("val", "test")]
    outcome = plot(*runs, "--split", "train", "--split", "held-out", "--out", tmp_path / "x.svg")
    assert outcome.code == 0, outcome.err
    names = ["val, train", "val, val", "test, train", "test, test"]
    assert [s.name for s in drawn[0]] == names
    assert [s.dash for s in drawn[0]] == ["-", "--"] * 2
    assert len({s.color for s in drawn[0]}) == 2
    assert (tmp_path / "x.svg").read_bytes().startswith(b"<?xml")


def test_mixed_held_out_classes_are_named(tmp_path: Path, drawn: list) -> None:
    runs = [plotted_run(tmp_path / name, 9, name) for name in ("val", "test")]
    assert plot(*runs, "--out", tmp_path / "x.png").code == 0
    assert [s.name for s in drawn[0]] == ["val, val", "test, test"]
    same = plot(runs[0], "--split", "val", "--split", "held-out", "--out", tmp_path / "x.png")
    assert same.code == 0
    assert [s.name for s in drawn[1]] == ["val"]


def test_a_run_at_work_may_have_half_a_line(tmp_path: Path, drawn: list) -> None:
    run = plotted_run(tmp_path / "run", 5)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 50, "tra')
    assert plot(run, "--out", tmp_path / "x.png").code == 0
    assert drawn[0][0].steps.tolist() == [0, 10, 20, 30, 40]


def test_runs_without_accuracies_are_left_out(tmp_path: Path, drawn: list) -> None:
    one, empty = plotted_run(tmp_path / "one", 5), write_run(tmp_path / "empty")
    outcome = plot(empty, one, "--out", tmp_path / "x.png")
    assert outcome.code == 0
    assert outcome.err == "left out, no accuracies yet: empty\n"
    assert [s.name for s in drawn[0]] == ["one"]
    assert_refused(plot(empty, "--out", tmp_path / "y.png"), str(empty), "no accuracies yet")
    assert not (tmp_path / "y.png").exists()


def test_what_cannot_be_plotted_is_named(tmp_path: Path) -> None:
    run, out = plotted_run(tmp_path / "run", 5), tmp_path / "x.png"
    (tmp_path / "photos").mkdir()
    assert_refused(
        plot(tmp_path / "photos", "--out", out), str(tmp_path / "photos"), "no run in it"
    )
    nowhere = tmp_path / "nowhere"
    assert_refused(plot(run, nowhere, "--out", out), str(nowhere), "no such folder")
    assert_refused(plot(run, "--split", "val", "--out", out), str(run), "train and test", "not val")
    assert_refused(plot(run, "--out", tmp_path / "x.gif"), "--out", ".png, .svg, .pdf", code=2)
    assert_refused(plot(), "RUN", code=2)
    assert_refused(plot(run, "--out", run / "config.json" / "x.png"), "cannot write there")
    (run / "metrics.jsonl").write_text("no JSON\n")
    assert_refused(plot(run, "--out", out), str(run / "metrics.jsonl"))
    assert not out.exists()


def test_what_is_no_run_on_images_is_skipped(tmp_path: Path) -> None:
    """As in `reptile plot runs/*`."""
    for name in ("a", "damaged", "waves", "trials/0"):
        plotted_run(tmp_path / "runs" / name, 5)
    (tmp_path / "runs" / "notes.txt").touch()
    (tmp_path / "runs" / "damaged" / "metrics.jsonl").write_text("no JSON\n")
    (tmp_path / "runs" / "waves" / "metrics.jsonl").write_text('{"step": 0, "loss": 1.0}\n')
    outcome = plot(*sorted((tmp_path / "runs").iterdir()), "--out", tmp_path / "x.png")
    assert (outcome.code, outcome.out) == (0, f"wrote {tmp_path / 'x.png'}\n")
    notes = outcome.err.splitlines()
    for note, word in zip(notes, ("notes.txt", "damaged", "logged loss"), strict=True):
        assert note.startswith("Note: skipped")
        assert word in note


def test_a_trained_run_is_plotted(finished: Path, tmp_path: Path) -> None:
    shutil.rmtree(finished / "checkpoints")
    outcome = plot(finished, "--split", "train", "--out", tmp_path / "x.png")
    assert outcome.code == 0, outcome.err
    assert pixels_like(tmp_path / "x.png", COLORS[0]).shape[1] > 300


@pytest.mark.parametrize("name", ["plot", "compare", "report"])
def test_tensorflow_is_not_imported(tmp_path: Path, name: str) -> None:
    run = plotted_run(tmp_path / "run", 5)
    out = {"plot": ["--out", str(tmp_path / "x.png")], "report": ["--out", str(tmp_path / "r")]}
    program = (
        "import sys; from supervised_reptile.cli.main import reptile; "
        "reptile.main(sys.argv[1:], standalone_mode=False); print(*sys.modules)"
    )
    words = [sys.executable, "-c", program, name, str(run), *out.get(name, [])]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = {module.partition(".")[0] for module in done.stdout.split()}
    assert "supervised_reptile" in loaded
    assert "tensorflow" not in loaded


def test_names_that_no_font_has(tmp_path: Path) -> None:
    """A path of bytes that are no text, and one of two lines."""
    for name in ("not utf-8 \udcff", "new\nline"):
        out = tmp_path / "curves.svg"
        outcome = call("plot", plotted_run(tmp_path / name, 5), "--out", out, command=reptile)
        assert outcome.code == 0, outcome.err
        assert out.exists()
