"""`reptile reproduce theory`, through the real command line."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from command_line import Outcome, call, tree
from PIL import Image

from supervised_reptile.analysis.study import read_study
from supervised_reptile.cli.main import reptile
from supervised_reptile.runs.read_run import read_alignment


def reproduce(out: Path, *more: object) -> Outcome:
    return call("reproduce", "theory", "--out", out, *more, command=reptile)


@pytest.fixture(scope="module")
def done(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """The study with a short training on drawn alphabets."""
    out = tmp_path_factory.mktemp("theory") / "out"
    return out, reproduce(out, "--data-dir", data, "--outer-steps", 60)


def test_every_row_passes(done: tuple[Path, Outcome]) -> None:
    out, outcome = done
    assert outcome.code == 0, outcome.err
    table = read_study(out).tables[0]
    assert len(table.rows) == 16
    assert [row[-1] for row in table.rows] == ["pass"] * 16
    assert table.text() in outcome.out
    by_name = {row[:2]: row for row in table.rows}
    assert by_name["MAML", "6"][2:6] == ("1.0000000", "1", "-10.0000000", "-10")
    assert by_name["joint training", "1"][6] == "-"


def test_the_numbers_behind_the_figure(done: tuple[Path, Outcome]) -> None:
    with (done[0] / "theory.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 16 * 7
    for line in lines:
        wanted = float(line["AvgGradInner / rate predicted"])
        assert float(line["AvgGradInner / rate"]) == pytest.approx(wanted, rel=0.15, abs=1e-9)


def test_figures_are_pictures(done: tuple[Path, Outcome]) -> None:
    assert [figure.file for figure in read_study(done[0]).figures] == [
        "theory.png",
        "alignment.png",
    ]
    for figure in read_study(done[0]).figures:
        with Image.open(done[0] / figure.file) as image:
            image.load()


def test_the_training_stands_in_a_table(done: tuple[Path, Outcome]) -> None:
    out, outcome = done
    study, columns = read_study(out), read_alignment(out / "runs" / "alignment")
    assert columns["step"].tolist() == list(range(0, 60, 10))
    same, different = study.tables[1].rows
    assert same[:2] == (
        "same task",
        f"{columns['same_product'][0]:,.0f} ± {columns['same_product_error'][0]:.0f}",
    )
    last = columns["different_cosine"][-1], columns["different_cosine_error"][-1]
    assert different[4] == f"{last[0]:.3f} ± {last[1]:.3f}"
    assert "60 outer steps" in study.text
    assert "60 outer steps on Omniglot instead of 2,000" in outcome.out
    assert "--log-alignment" in study.commands[1]


def test_a_finished_training_is_not_repeated_nor_forgotten(
    done: tuple[Path, Outcome], tmp_path: Path
) -> None:
    out, _ = done
    before = tree(out / "runs")
    outcome = reproduce(out, "--data-dir", tmp_path / "no data here", "--outer-steps", 60)
    assert outcome.code == 0, outcome.err
    assert tree(out / "runs") == before
    assert reproduce(out, "--outer-steps", 60).code == 0
    assert len(read_study(out).tables) == 2


def test_without_data_only_the_small_problem(tmp_path: Path) -> None:
    outcome = reproduce(tmp_path / "out")
    assert outcome.code == 0, outcome.err
    study = read_study(tmp_path / "out")
    assert len(study.tables) == len(study.figures) == 1
    assert not (tmp_path / "out" / "runs").exists()
    assert np.isfinite(study.seconds)
