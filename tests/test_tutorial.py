"""docs/tutorial.md: its commands run, and what it quotes is in the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from command_line import ROOT
from doc_commands import TINY, run_commands

PAGE = ROOT / "docs" / "tutorial.md"
SINE = {"meta_iters": 300, "eval_interval": 100, "eval_samples": 20, "no_compare": True}
SIZES = {
    "reptile sine": SINE,
    "reptile omniglot": {**TINY, "meta_iters": 12},
    "reptile plot": {},
    "reptile compare": {},
}


def test_every_command_runs(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "omniglot").symlink_to(data)
    done = run_commands(PAGE, SIZES)
    assert len(done) == 9
    for picture in ("runs/sine/fit.png", "runs/sine/training.gif", "accuracy.png"):
        assert (tmp_path / picture).exists(), picture
    assert "omniglot-foml" in done[-1][1].out


def test_quoted_lines_are_in_the_code() -> None:
    rows = re.findall(r"^\| .* \| `(.*)` \| \[.*\]\((.*)\) \|$", PAGE.read_text(), re.MULTILINE)
    assert len(rows) == 8
    for line, source in rows:
        lines = [text.strip() for text in (PAGE.parent / source).read_text().splitlines()]
        assert line in lines, f"{source} has no line {line}"
