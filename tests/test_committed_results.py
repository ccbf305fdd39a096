"""docs/results.md holds what lies in results/, no more and no less; the README its accuracies."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from command_line import ROOT, call

from supervised_reptile.analysis.study import STUDY, read_study
from supervised_reptile.cli.main import reptile
from supervised_reptile.config import PRESETS
from supervised_reptile.runs.read_run import read_evaluations, read_stored

STUDIES = sorted(path.parent for path in ROOT.glob(f"results/**/{STUDY}"))
RUNS = sorted(path.parent for path in ROOT.glob("results/**/config.json"))


def test_the_page_is_the_report_of_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    committed = (ROOT / "docs" / "results.md").read_text(encoding="utf8")
    title = committed.splitlines()[0].removeprefix("# ")
    outcome = call(
        *("report", "results", "--out", tmp_path, "--name", "results", "--title", title),
        command=reptile,
    )
    assert outcome.code == 0, outcome
    made = (tmp_path / "results.md").read_text(encoding="utf8")
    # Links to figures lead from the folder of the page.
    assert made.replace(f"]({os.path.relpath(ROOT, tmp_path)}/", "](../") == committed


@pytest.mark.parametrize("folder", [*STUDIES, *RUNS], ids=lambda path: path.name)
def test_results_name_no_path_of_the_machine_they_come_from(folder: Path) -> None:
    for path in (folder / name for name in (STUDY, "config.json", "results.json")):
        if path.exists():
            text = path.read_text(encoding="utf8")
            assert not re.search(r"\.\./|(?<![\w.])/(home|root|work|tmp|Users)/", text), path


@pytest.mark.parametrize("folder", STUDIES, ids=lambda path: path.name)
def test_studies_tell_how_to_repeat_them(folder: Path) -> None:
    study = read_study(folder)
    assert any(f"reproduce {study.name}" in command for command in study.commands)
    assert study.seconds > 0
    assert {"tensorflow", "python"} <= {name.lower() for name in study.environment}


@pytest.mark.parametrize("folder", RUNS, ids=lambda path: path.name)
def test_runs_can_be_read(folder: Path) -> None:
    assert read_stored(folder).config.outer_steps > 0


def accuracies_in_the_readme() -> dict[str, tuple[str, ...]]:
    """Here, paper and re-runs in its table, by `... 5-way, 1-shot, transductive`."""
    rows = re.findall(r"^\| (.*-shot, .*) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    split = [tuple(row.split(" | ")) for row in rows]
    return {name: tuple(cells[:3]) for name, *cells in split}


def test_the_readme_has_the_studies_numbers() -> None:
    """All of them in as many rows, the mean where there are several seeds."""
    found = {}
    for folder in STUDIES:
        if (study := read_study(folder)).name in PRESETS:
            table = study.tables[0]
            here = "mean" if "mean" in table.columns else "seed 0"
            wanted = [table.columns.index(name) for name in (here, "paper", "re-runs")]
            setting = study.title.partition(":")[0].replace(",", "")  # Omniglot 5-way
            for row in table.rows:
                found[f"{setting}, {row[0]}"] = tuple(row[i] for i in wanted)
    assert accuracies_in_the_readme() == found


def test_the_shorter_runs_page_has_the_runs_numbers() -> None:
    page = (ROOT / "docs" / "short-runs.md").read_text(encoding="utf8")
    rows = re.findall(r"^\| (transductive|non-transductive) \| (.*) \|$", page, re.MULTILINE)
    found = {mode: tuple(cells.split(" | ")) for mode, cells in rows[-2:]}
    wanted: dict[str, list[str]] = {mode: [] for mode in found}
    for evaluation in read_evaluations(ROOT / "results" / "miniimagenet-5way-12k"):
        for mode, splits in evaluation["accuracy"].items():
            for split in ("val", "test"):
                mean, half_width = (100 * splits[split][name] for name in ("mean", "half_width"))
                wanted[mode.replace("_", "-")].append(f"{mean:.2f} ± {half_width:.2f}")
    assert found == {mode: tuple(cells) for mode, cells in wanted.items()}


def test_the_shorter_runs_page_has_the_20_way_numbers_of_the_default_order() -> None:
    page = (ROOT / "docs" / "short-runs.md").read_text(encoding="utf8")
    evaluations = read_evaluations(ROOT / "results" / "omniglot-20way-chained-20k")
    assert {e["settings"]["shots"] for e in evaluations} == {1, 5}
    for evaluation in evaluations:
        for mode in ("transductive", "non_transductive"):
            test = evaluation["accuracy"][mode]["test"]
            assert f"{100 * test['mean']:.2f} ± {100 * test['half_width']:.2f}" in page
