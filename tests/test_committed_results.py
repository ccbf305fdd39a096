"""docs/results.md holds what lies in results/, no more and no less."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from command_line import ROOT, call

from supervised_reptile.cli import reptile
from supervised_reptile.reproduce.study import STUDY, read_study
from supervised_reptile.run_files import read_stored

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
