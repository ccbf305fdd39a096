"""README and docs/: every command in them runs, or is at least understood by its program.

Sizes are a test's, on drawn alphabets and made pictures where readers have data/. What takes a
cluster, a network, Node or many processes is not run here; Unrun says where it is.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import ROOT, call, drawn_alphabets, flags
from doc_commands import FENCE, TINY, Command, Plan, Unrun, blocks_of, run_commands, understand
from made_pictures import write_classes, write_miniimagenet

from supervised_reptile import api
from supervised_reptile.cli.main import reptile
from supervised_reptile.config import Config
from supervised_reptile.sweep.space import read_space

PYTHON_FENCE, TOML_FENCE, YAML_FENCE = (
    re.compile(FENCE.pattern.replace("bash", language), FENCE.flags)
    for language in ("python", "toml", "yaml")
)
MEASURES = Unrun("test_benchmarks.py and test_web.py run benchmarks in short")
WORKERS = Unrun("tests/distributed/test_workers.py runs workers")
PLAN: Plan = {
    "./fetch_data.sh": Unrun("test_fetch_data.py has it fetch from a server of its own"),
    "make": Unrun("it installs the program, or builds the page; make itself looks for the targets"),
    "python benchmarks": MEASURES,
    "python run_miniimagenet.py": TINY,
    "python run_omniglot.py": TINY,
    "python run_omniglot.py --workers": WORKERS,
    "reptile --help": {},
    "reptile compare": {},
    "reptile data": {},
    "reptile data glyphs": {"alphabets": 1, "characters": 2, "drawings": 2},
    "reptile export": {},
    "reptile plot": {},
    "reptile predict": {},
    "reptile report": {},
    "reptile reproduce": Unrun("tests/paper runs every study in short"),
    "reptile sine": {"meta_iters": 4, "eval_samples": 2, "no_compare": True},
    "reptile sweep": Unrun("tests/sweep runs sweeps, each trial a process"),
    "reptile train": TINY,
}
# What Slurm's and Ray's programs do with the command that they are given.
CLUSTER = {
    "scontrol": "printf '%s\\n' host1 host2",
    "srun": 'while [[ $1 == --* ]]; do shift; done; SLURM_PROCID=1 exec "$@"',
    "pip": "true",
    "ray": 'while (($#)) && [ "$1" != -- ]; do shift; done; (($#)) && exec "${@:2}"',
}

PAGES = {
    page.relative_to(ROOT).as_posix(): page
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))
    if any(blocks_of(page)) and page.name != "tutorial.md"  # which tests/test_tutorial.py has
}
OTHERWISE: dict[str, Plan] = {
    "README.md": {"python run_omniglot.py --learning-rate": {**TINY, "val_classes": 4}},
    "docs/results.md": {
        "python run_omniglot.py": {**TINY, "overwrite": True},
        "python run_miniimagenet.py": {**TINY, "overwrite": True},
    },
    "docs/sweeps.md": {"python run_omniglot.py": {**TINY, "val_classes": 4}},
    "docs/scaling.md": {"python run_omniglot.py": WORKERS},
}
# Runs that readers have from other pages.
GIVEN = {
    "docs/using.md": ("runs/mine", "runs/omniglot-5way"),
    "docs/performance.md": ("runs/o5-10k",),
}


@pytest.fixture(scope="module")
def a_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    out = tmp_path_factory.mktemp("runs") / "run"
    words = flags(data_dir=drawn_alphabets(tmp_path_factory), checkpoint=out, **TINY)
    assert call(*words).code == 0
    return out


@pytest.fixture
def here(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with what readers are assumed to have under the names of the pages."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "omniglot").symlink_to(data)
    write_miniimagenet(tmp_path / "data" / "miniimagenet")
    (tmp_path / "PATH").symlink_to("data/miniimagenet")
    for name, classes in {"DIR": 12, "letters": 2, "mushrooms": 2}.items():
        write_classes(tmp_path / name, classes, 28, channels=1)
    for name in ("unknown", "photos"):
        (tmp_path / name).symlink_to("letters/letters00")
    for name in ("docs", "results"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "docs" / "sweep-omniglot.toml", tmp_path / "SPACE.toml")
    return tmp_path


# How published numbers came about: many runs that differ in numbers. Others teach the same flags.
RECORDS = ("docs/results.md", "docs/short-runs.md")


@pytest.mark.parametrize("name", RECORDS)
def test_every_command_is_understood(name: str, here: Path) -> None:
    run_commands(PAGES[name], dict.fromkeys(PLAN, Unrun("`make soak` runs it")), CLUSTER)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.soak] * (name in RECORDS)) for name in PAGES],
)
def test_every_command_runs(name: str, here: Path, a_run: Path) -> None:
    for run in GIVEN.get(name, ()):
        shutil.copytree(a_run, here / run)
    run_commands(PAGES[name], {**PLAN, **OTHERWISE.get(name, {})}, CLUSTER)


def test_training_from_python_runs(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = Config(
        way=2, shots=1, train_shots=2, inner_steps=1, outer_steps=2, eval_episodes=2, eval_steps=1
    )
    monkeypatch.setattr(api, "preset", lambda name, outer_steps: small)
    arrays = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 1)).astype(np.uint8)
    names: dict[str, object] = {
        "images": arrays, "labels": list("abc") * 3, "others": arrays, "their_labels": ["d"] * 9,
    }  # fmt: skip
    blocks = [b for _, b in blocks_of(PAGES["docs/using.md"], PYTHON_FENCE) if "sr." in b]
    assert len(blocks) == 2
    for block in blocks:
        exec(block, names)
    assert names["run"].config.outer_steps == 2
    assert names["data"].image_shape == (8, 8, 1)


@pytest.mark.parametrize("name", ["README.md", "docs/using.md"])
def test_python_runs(name: str, here: Path) -> None:
    """Two classes, of which the examples are the queries as well."""
    assert call("export", "--format", "savedmodel", "--out", "exported", command=reptile).code == 0
    images = np.random.default_rng(0).random((6, 28, 28, 1), np.float32)
    names: dict[str, object] = {"images": images, "labels": [0, 1] * 3, "queries": images}
    for _, block in blocks_of(PAGES[name], PYTHON_FENCE):
        if "sr." in block:
            continue
        *lines, answer = block.strip().splitlines()
        exec("\n".join(lines), names)
        assert np.argmax(eval(answer, names), axis=1).tolist() == names["labels"]


@pytest.mark.parametrize(
    "text", [text for _, text in blocks_of(ROOT / "docs" / "sweeps.md", TOML_FENCE)]
)
def test_sweeps_are_read(text: str, tmp_path: Path) -> None:
    (tmp_path / "SPACE.toml").write_text(text)
    assert read_space(tmp_path / "SPACE.toml").search["method"] == "tpe"


def test_the_sweep_of_the_docs_is_read() -> None:
    assert read_space(ROOT / "docs" / "sweep-omniglot.toml").first


def test_the_kubernetes_job_is_read() -> None:
    yaml = pytest.importorskip("yaml")  # which comes with Ray
    ((_, text),) = blocks_of(ROOT / "docs" / "scaling.md", YAML_FENCE)
    job = yaml.safe_load(text)
    words = job["spec"]["entrypoint"].split()
    assert understand(Command(1, tuple(words))).code == 0
    (workers,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert workers["replicas"] == int(words[words.index("--workers") + 1])
