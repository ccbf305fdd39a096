"""The helper that runs the commands in documentation."""

from __future__ import annotations

from pathlib import Path

import doc_commands
import pytest
from command_line import Outcome
from doc_commands import Command, Unrun, run_commands, understand

from supervised_reptile.distributed.tf_config import EXAMPLE
from supervised_reptile.errors import UserError

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
source somewhere/bin/activate
rates="0.1 0.2"
for rate in $rates; do
  python run_omniglot.py --learning-rate $rate --checkpoint "runs/$rate"
done
python run_omniglot.py --checkpoint runs/0.1 --resume
python run_omniglot.py --checkpoint runs/0.1 --pretrained
TF_CONFIG='{}' ./make it
```
"""
RUN = ["python", "run_omniglot.py"]
SIZES = {"meta_iters": 3, "eval_samples": 2}


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    return path


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command lines that would run; those with --help in them fail."""
    lines: list[list[str]] = []

    def run_words(words: list[str]) -> Outcome:
        lines.append(list(words))
        return Outcome(int("--help" in words), "", "it failed")

    monkeypatch.setattr(doc_commands, "run_words", run_words)
    return lines


def test_commands_are_those_of_bash_with_other_sizes(page: Path, ran: list[list[str]]) -> None:
    plan = {
        **{"reptile": Unrun("no time"), "reptile plot": {"tiny": True}},
        **{"python": SIZES, "./make": Unrun("not ours")},
    }
    (page.parent / "runs").mkdir()
    (page.parent / "runs" / "one").mkdir()
    with pytest.raises(AssertionError, match="it failed"):
        run_commands(page, plan)
    ran.clear()
    page.write_text(PAGE.replace("reptile --help\n", ""))
    done = run_commands(page, plan)
    assert ran == [
        ["reptile", "plot", "runs/one", "--out", "two words.png", "--tiny"],
        [*RUN, "--learning-rate", "0.1", "--checkpoint", "runs/0.1",
         "--meta-iters", "3", "--eval-samples", "2"],
        [*RUN, "--checkpoint", "runs/0.1", "--resume"],
        [*RUN, "--checkpoint", "runs/0.1", "--pretrained", "--eval-samples", "2"],
    ]  # fmt: skip
    assert [command.line for command, _ in done] == [4, 14, 14, 14]


def test_a_command_that_nobody_thought_of_fails(page: Path, ran: list[list[str]]) -> None:
    with pytest.raises(AssertionError, match=r"page.md, block of line 4: reptile .*: no sizes"):
        run_commands(page, {"reptile plots": {}})


def test_a_program_that_nobody_thought_of_fails(page: Path) -> None:
    page.write_text("```bash\nls\n```\n")
    with pytest.raises(AssertionError, match=r"block of line 2: .*ls"):
        run_commands(page, {"reptile": {}})


def test_stand_ins_for_other_programs(page: Path, ran: list[list[str]]) -> None:
    page.write_text('```bash\nsrun --quiet reptile plot "$(hosts)"\n```\n')
    run_commands(page, {"reptile": {}}, {"srun": 'shift; exec "$@"', "hosts": "echo a b"})
    assert ran == [["reptile", "plot", "a b"]]


UNDERSTOOD = {
    "reptile plot runs/one --out a.png": 0,
    "reptile plot runs/one --outt a.png": 2,
    "reptile nothing": 2,
    "python run_omniglot.py --meta-iters 100000 --checkpoint runs/one": 0,
    "python run_omniglot.py --meta-iters many": 2,
    "python run_omniglot.py --algorithm maml": 2,  # which takes --sgd
    "python benchmarks/run.py --rounds 5": 0,
    "python benchmarks/run.py --round": 2,
    "python run_omniglot.py --workers 2 --meta-batch 8": 0,
    "python run_omniglot.py --worker-cpus 2": 2,
    "make quickstart": 0,
    "make nothing": 2,
}


@pytest.mark.parametrize("line", UNDERSTOOD)
def test_what_is_not_run_is_understood(line: str) -> None:
    assert understand(Command(1, tuple(line.split()))).code == UNDERSTOOD[line]


def test_a_cluster_is_understood() -> None:
    words = ("python", "run_omniglot.py")
    assert understand(Command(1, words, EXAMPLE)).code == 0
    with pytest.raises(UserError, match="TF_CONFIG"):
        understand(Command(1, words, "{"))


def test_programs_run_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = doc_commands.run_words(
        ["reptile", "data", "glyphs", "--out", "drawn", "--alphabets", "1",
         "--characters", "2", "--drawings", "2"]
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert list((tmp_path / "drawn").iterdir())
    helped = doc_commands.run_words(["python", "run_omniglot.py", "--help"])
    assert helped.code == 0
    assert "--inner-iters" in helped.out
