"""`reptile reproduce` of the paper's tables, through the real command line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import assert_refused, call, edit_json, tree

from supervised_reptile.analysis.study import Figure, Study, read_study, write_study
from supervised_reptile.analysis.tables import Table
from supervised_reptile.cli.main import reptile
from supervised_reptile.config import PRESETS
from supervised_reptile.paper.published import Published, published
from supervised_reptile.paper.tables import Cell

SHORT = ("--fraction", 0.0004, "--eval-samples", 12)  # 40 outer steps


def reproduce(out: Path, data: Path, *more: object):
    """A shortened reproduction on drawn alphabets."""
    words = ("reproduce", "omniglot-5way", "--out", out, "--data-dir", data, *SHORT, *more)
    return call(*words, command=reptile)


@pytest.fixture(scope="module")
def done(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished shortened reproduction of two seeds, and what it printed."""
    out = tmp_path_factory.mktemp("reproduced") / "out"
    outcome = reproduce(out, data, "--seeds", 2)
    assert outcome.code == 0, outcome.err
    return out, outcome.out


def test_one_training_run_gives_four_cells(done: tuple[Path, str]) -> None:
    out, printed = done
    study = read_study(out)
    (table,) = study.tables
    assert [row[0] for row in table.rows] == [
        "1-shot, non-transductive",
        "1-shot, transductive",
        "5-shot, non-transductive",
        "5-shot, transductive",
    ]
    assert printed.count("Training...") == 2  # once a seed
    assert table.text() in printed
    for seed in (0, 1):
        results = json.loads((out / f"seed-{seed}" / "results.json").read_text())["evaluations"]
        by_shots = {e["settings"]["shots"]: e["accuracy"] for e in results}
        for row in table.rows:
            shots, mode = row[0].split("-shot, ")
            found = by_shots[int(shots)][mode.replace("-", "_")]["test"]
            shown = f"{100 * found['mean']:.2f} ± {100 * found['half_width']:.2f}"
            assert row[1 + seed] == shown
    assert (out / study.figures[0].file).read_bytes().startswith(b"\x89PNG")


def test_every_table_says_how_it_falls_short(done: tuple[Path, str]) -> None:
    out, printed = done
    caveat = read_study(out).caveat
    assert "40 outer steps, 0.04% of the paper's 100,000" in caveat
    assert "12 episodes instead of 10,000" in caveat
    assert caveat in printed


def test_the_machines_are_those_of_the_runs(done: tuple[Path, str], tmp_path: Path) -> None:
    """Not the one on which the command was given again."""
    copy = shutil.copytree(done[0], tmp_path / "out")
    here = read_study(copy).environment["processor"]
    entry = copy / "seed-0" / "results.json"
    edit_json(entry, lambda content: rename_processor(content["evaluations"]))
    edit_json(copy / "seed-1" / "results.json", lambda content: forget(content["evaluations"]))
    assert reproduce(copy, tmp_path / "no data here", "--seeds", 2).code == 0
    environment = read_study(copy).environment
    assert environment["processor"] == f"Another; {here}"
    assert environment["machine"] == "not recorded"


def rename_processor(evaluations: list[dict[str, Any]]) -> None:
    evaluations[0]["environment"]["processor"] = "Another"


def forget(evaluations: list[dict[str, Any]]) -> None:
    """As an older version would have written one of them."""
    del evaluations[0]["environment"]


def test_what_is_finished_is_not_run_again(done: tuple[Path, str], tmp_path: Path) -> None:
    out, printed = done
    copy = shutil.copytree(out, tmp_path / "out")
    before = {name: b for name, b in tree(copy).items() if "seed-" in name}
    outcome = reproduce(copy, tmp_path / "no data here", "--seeds", 2)
    assert outcome.code == 0, outcome.err
    assert "Training..." not in outcome.out
    assert "Evaluating..." not in outcome.out
    assert (
        outcome.out.splitlines()[1:-1]
        == printed.splitlines()[-len(outcome.out.splitlines()) + 1 : -1]
    )
    assert {name: b for name, b in tree(copy).items() if "seed-" in name} == before


def test_a_missing_evaluation_is_made_up_for(
    done: tuple[Path, str], data: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(done[0], tmp_path / "out")
    path = copy / "seed-1" / "results.json"
    whole = path.read_bytes()
    edit_json(path, lambda content: content["evaluations"].pop(1))
    outcome = reproduce(copy, data, "--seeds", 2)
    assert outcome.code == 0, outcome.err
    assert "Training..." not in outcome.out
    assert outcome.out.count("Evaluating...") == 1
    assert json.loads(path.read_text()) == json.loads(whole)


def test_more_episodes_take_no_training(done: tuple[Path, str], data: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(done[0], tmp_path / "out")
    outcome = reproduce(copy, data, "--eval-samples", 13)
    assert outcome.code == 0, outcome.err
    assert "Training..." not in outcome.out
    assert outcome.out.count("Evaluating...") == 2
    assert "13 episodes instead of 10,000" in outcome.out


def test_other_settings_in_the_same_folder_are_refused(done: tuple[Path, str], data: Path) -> None:
    outcome = reproduce(done[0], data, "--fraction", 0.0005)
    assert_refused(outcome, "--meta-iters is 40 there and 50 here", "another --out")


@pytest.mark.parametrize("words", [("--fraction", "0"), ("--fraction", "1.5"), ("--seeds", "0")])
def test_values_out_of_range_are_refused(words: tuple[str, str], tmp_path: Path) -> None:
    assert_refused(reproduce(tmp_path / "out", tmp_path, *words), words[0], code=2)


def test_all_puts_the_studies_on_one_page(done: tuple[Path, str], tmp_path: Path) -> None:
    shutil.copytree(done[0], tmp_path / "out" / "omniglot-5way")
    words = ("reproduce", "all", "--out", tmp_path / "out", "--only", "omniglot-5way", *SHORT)
    outcome = call(*words, "--omniglot", tmp_path / "no data here", command=reptile)
    assert outcome.code == 0, outcome.err
    assert "== omniglot-5way" in outcome.out
    assert "== gradients" not in outcome.out
    (table,) = read_study(tmp_path / "out" / "omniglot-5way").tables
    page = (tmp_path / "out" / "report.md").read_text()
    assert table.markdown() in page
    assert "0.04% of the paper's 100,000" in page
    assert (tmp_path / "out" / "report.html").exists()


def test_all_goes_on_where_a_study_cannot_be_run(done: tuple[Path, str], tmp_path: Path) -> None:
    """Its cause is told at the end, and the page has the others."""
    shutil.copytree(done[0], tmp_path / "out" / "omniglot-5way")
    only = ("--only", "gradients", "--only", "omniglot-5way", "--only", "miniimagenet-5way")
    words = ("reproduce", "all", "--out", tmp_path / "out", *only, *SHORT)
    outcome = call(*words, "--miniimagenet", tmp_path / "none", "--omniglot", tmp_path / "none",
                   command=reptile)  # fmt: skip
    assert outcome.code == 1
    last = outcome.err.splitlines()[-1]
    assert last.startswith("Error: gradients: ")
    assert "; miniimagenet-5way: " in last
    assert "0.04% of the paper's 100,000" in (tmp_path / "out" / "report.md").read_text()


def test_help_needs_no_tensorflow() -> None:
    program = (
        "import sys; from supervised_reptile.cli.main import main\n"
        "try: main()\n"
        "finally: assert 'tensorflow' not in sys.modules\n"
    )
    words = [sys.executable, "-c", program, "reproduce", "omniglot-5way", "--help"]
    assert "--seeds" in subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("mean", "half_width", "verdict"),
    [
        (95.6, 0.1, "pass: above the re-runs"),
        (95.3, 0.1, "pass: among the re-runs"),
        (95.25, 0.0, "pass: among the re-runs"),
        (95.2, 0.1, "pass: within its interval of the re-runs"),
        (95.1, 0.1, "fail: below the re-runs"),
    ],
)
def test_verdicts(mean: float, half_width: float, verdict: str) -> None:
    assert Published(95.39, 95.25, 95.56).verdict(mean, half_width) == verdict


@pytest.mark.parametrize("experiment", list(PRESETS))
def test_published_numbers_are_complete_and_sound(experiment: str) -> None:
    cells = published(experiment)
    assert len(cells) == 4
    for shots in (1, 5):
        alone, together = cells[shots, "non_transductive"], cells[shots, "transductive"]
        assert alone.paper < together.paper  # sharing statistics helps
        assert alone.lowest <= alone.highest < together.lowest <= together.highest
        for cell in (alone, together):
            assert cell.lowest - 0.8 < cell.paper < cell.highest + 0.8


def test_known_published_numbers() -> None:
    assert published("omniglot-5way")[1, "transductive"] == (97.68, 97.61, 97.79)
    assert published("miniimagenet-5way")[5, "non_transductive"] == (62.74, 62.85, 63.32)


def test_the_interval_of_a_mean_over_seeds() -> None:
    cell = Cell(1, "transductive", np.array([95.0, 96.0]), np.array([0.3, 0.4]), None)
    assert cell.half_width == pytest.approx(0.25)


def test_an_interval_of_width_0_is_one(done: tuple[Path, str], tmp_path: Path) -> None:
    copy = shutil.copytree(done[0], tmp_path / "out")
    edit_json(copy / "seed-0" / "results.json", be_certain)
    assert reproduce(copy, tmp_path / "no data here", "--seeds", 2).code == 0
    (table,) = read_study(copy).tables
    assert [row[1] for row in table.rows] == ["100.00 ± 0.00"] * 4


def be_certain(content: dict[str, Any]) -> None:
    """As if every answer of every episode were right."""
    for evaluation in content["evaluations"]:
        for splits in evaluation["accuracy"].values():
            splits["test"] |= {"mean": 1.0, "half_width": 0.0}


def test_a_study_comes_back_as_it_was_written(tmp_path: Path) -> None:
    study = Study(
        "name", "Title", "text", ("a", "b"), 1.5, {"python": "3"},
        (Table("t", ("x", "y"), (("1", "2"),), "note"),), (Figure("f", "f.png", "words"),), "short",
    )  # fmt: skip
    (tmp_path / "f.png").write_bytes(b"a picture")
    write_study(tmp_path, study)
    assert read_study(tmp_path) == study
    edit_json(tmp_path / "study.json", add_checksums)
    assert read_study(tmp_path) == study


def add_checksums(study: dict) -> None:
    """As older programs did."""
    study["crc32"] = study["figures"][0]["crc32"] = "0123abcd"


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"tables": 3}'])
def test_unreadable_studies_are_named(content: str | None, tmp_path: Path) -> None:
    from supervised_reptile.errors import UserError

    if content is not None:
        (tmp_path / "study.json").write_text(content)
    with pytest.raises(UserError, match=r"study\.json"):
        read_study(tmp_path)
