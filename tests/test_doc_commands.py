"""The helper that runs the commands in documentation."""

from __future__ import annotations

from pathlib import Path

import doc_commands
import pytest
from command_line import Outcome
from doc_commands import commands_of, run_commands

PAGE = """\
# A page

```bash
# nothing but a comment
reptile plot runs/* \\
    --out "two words.png"   # a comment
reptile --help
```

```python
reptile = "not a command"
```

```bash
python run_omniglot.py --checkpoint runs/one --resume
make quickstart
```
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    return path


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command lines that would run; those with --help in them fail."""
    lines: list[list[str]] = []

    def run_words(words: list[str]) -> Outcome:
        lines.append(words)
        return Outcome(int("--help" in words), "", "it failed")

    monkeypatch.setattr(doc_commands, "run_words", run_words)
    return lines


def test_commands_and_where_they_stand(page: Path) -> None:
    assert [(c.line, c.text) for c in commands_of(page)] == [
        (5, "reptile plot 'runs/*' --out 'two words.png'"),
        (7, "reptile --help"),
        (15, "python run_omniglot.py --checkpoint runs/one --resume"),
        (16, "make quickstart"),
    ]


def test_sizes_are_added_but_to_what_continues(page: Path, ran: list[list[str]]) -> None:
    sizes = {"reptile": None, "reptile plot": ["--tiny"], "python": ["--small"], "make": None}
    done = run_commands(page, sizes)
    assert ran == [
        ["reptile", "plot", "runs/*", "--out", "two words.png", "--tiny"],
        ["python", "run_omniglot.py", "--checkpoint", "runs/one", "--resume"],
    ]
    assert [command.line for command, _ in done] == [5, 15]


def test_a_command_that_nobody_thought_of_fails(page: Path, ran: list[list[str]]) -> None:
    with pytest.raises(AssertionError, match=r"page.md, line 15: python .*: no sizes for it"):
        run_commands(page, {"reptile": None, "pyth": []})


def test_a_command_that_fails_is_named(page: Path, ran: list[list[str]]) -> None:
    with pytest.raises(AssertionError, match=r"(?s)page.md, line 7: reptile --help\nit failed"):
        run_commands(page, {"reptile": []})


@pytest.mark.parametrize("words", [["reptile", "plot", "a", "|", "less"], ["reptile", "$(ls)"]])
def test_what_takes_a_shell_is_refused(words: list[str]) -> None:
    with pytest.raises(AssertionError, match="only a shell"):
        doc_commands.run_words(words)


def test_programs_run_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "alphabets").mkdir()
    outcome = doc_commands.run_words(
        ["reptile", "data", "glyphs", "--out", "alphabets/d*wn", "--alphabets", "1",
         "--characters", "2", "--drawings", "2"]
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert list((tmp_path / "alphabets").iterdir())
    (tmp_path / "runs").mkdir()
    assert doc_commands.run_words(["reptile", "compare", "ru*s"]).code == 1
    assert "runs: no run" in doc_commands.run_words(["reptile", "compare", "ru*s"]).err
    helped = doc_commands.run_words(["python", "run_omniglot.py", "--help"])
    assert helped.code == 0
    assert "--inner-iters" in helped.out
