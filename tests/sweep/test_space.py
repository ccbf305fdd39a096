"""SPACE.toml: what it may say, and the one line that is said about what it may not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from command_line import assert_refused, call
from PIL import Image

pytest.importorskip("optuna", reason="the extra [sweep] is not installed")

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from supervised_reptile.cli.main import reptile
from supervised_reptile.sweep.space import read_space

WHOLE = """
[search]
method = "random"
early-stopping = "asha"
grace = 0.25
seed = 3
objective = "non-transductive"
[space]
learning-rate = { log = [1e-4, 1e-2] }
meta-step-final = { linear = [0, 0.5] }
inner-iters = { int = [3, 10] }
inner-batch = { log-int = [5, 20] }
meta-step = [0.5, 1.0]
algorithm = ["reptile", "foml"]
sgd = [true, false]
[fixed]
meta-iters = 2000
val-classes = 100
transductive = true
both-modes = true
[[first]]
learning-rate = 1e-3
meta-step-final = 0
inner-iters = 5
inner-batch = 10
meta-step = 1.0
algorithm = "reptile"
sgd = false
"""
LR, INNER, STEP = (
    "learning-rate = { log = [1e-4, 1e-2] }",
    "inner-iters = { int = [3, 10] }",
    "meta-step = [0.5, 1.0]",
)
METHOD, FIXED = 'method = "random"', "meta-iters = 2000"
SMALL = f"[search]\n{METHOD}\n[space]\n{LR}\n{INNER}\n{STEP}\n[fixed]\n{FIXED}\nval-classes = 100\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "space.toml"
    path.write_text(text)
    return path


def test_everything_that_a_space_may_say(tmp_path: Path) -> None:
    path = written(tmp_path, WHOLE)
    space = read_space(path)
    assert space.distributions == {
        "learning-rate": FloatDistribution(1e-4, 1e-2, log=True),
        "meta-step-final": FloatDistribution(0, 0.5),
        "inner-iters": IntDistribution(3, 10),
        "inner-batch": IntDistribution(5, 20, log=True),
        "meta-step": CategoricalDistribution((0.5, 1.0)),
        "algorithm": CategoricalDistribution(("reptile", "foml")),
        "sgd": CategoricalDistribution((True, False)),
    }
    assert (space.search["grace"], space.search["reduction"], space.search["seed"]) == (0.25, 3, 3)
    point = {**space.first[0], "learning-rate": 0.1 + 0.2, "sgd": True}
    config = space.parse(space.words(point)).config
    assert config.inner_rate == 0.1 + 0.2  # to the last bit
    assert (config.sgd, config.outer_steps, config.inner_batch) == (True, 2000, 10)
    assert space.mode(config) == "non_transductive"
    assert not space.parse(space.words(space.first[0])).config.sgd
    # Windows' editors put a byte order mark in front.
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_space(path) == space


def test_equal_cost_is_equal_training_images(tmp_path: Path) -> None:
    text = SMALL.replace(FIXED, "meta-batch = 5\ninner-batch = 10")
    space = read_space(
        written(tmp_path, text.replace(METHOD, f"{METHOD}\ntraining-images = 140000"))
    )
    for steps in (1, 4, 7):
        config = space.parse(space.words({"inner-iters": steps})).config
        assert config.outer_steps == 140_000 / (5 * 10 * steps)


def test_a_grid_has_a_point_for_every_combination(tmp_path: Path) -> None:
    text = SMALL.replace("random", "grid").replace("{ log = [1e-4, 1e-2] }", "[1e-4, 1e-3, 1e-2]")
    points = read_space(written(tmp_path, text.replace("{ int = [3, 10] }", "[3, 5]"))).first
    assert len({tuple(point.items()) for point in points}) == len(points) == 12


def test_own_images_have_flags_of_their_own(tmp_path: Path) -> None:
    text = SMALL.replace(METHOD, f'{METHOD}\ncommand = "train"').replace("val-classes = 100", "")
    space = read_space(written(tmp_path, text + "image-size = 28\ntransductive = false"))
    config = space.parse(space.words({"meta-step": 1.0}), "photos").config
    assert (config.data_dir, config.image_size, config.transductive) == ("photos", 28, False)


# What is put in place of what, and words of the answer.
BROKEN = {
    "unknown flag": (LR, "lerning-rate = [1e-3]", ["--lerning-rate", "--learning-rate"]),
    "unknown flag in fixed": (FIXED, "meta-iter = 2000", ["--meta-iter", "--meta-iters"]),
    "empty list": (STEP, "meta-step = []", ["one or more"]),
    "empty range": (LR, "learning-rate = { log = [1e-2, 1e-4] }", ["low <= high"]),
    "endless grid": (
        f"{METHOD}\n[space]\n{LR}\n{INNER}\n{STEP}",
        f'method = "grid"\n[space]\nmeta-step = {list(range(200))}\ninner-batch = '
        f"{list(range(1, 201))}",
        ["10,000 points"],
    ),
    "range with one end": (INNER, "inner-iters = { int = [3] }", ["inner-iters", "a range as in"]),
    "infinite range": (LR, "learning-rate = { log = [1e-4, inf] }", ["--learning-rate", "finite"]),
    "logarithm of nothing": (LR, "learning-rate = { log = [0, 1] }", ["low > 0"]),
    "unknown range": (LR, "learning-rate = { logg = [1e-4, 1] }", ["learning-rate", "log-int"]),
    "integers for floats": (LR, "learning-rate = { int = [1, 2] }", ["--learning-rate", "int"]),
    "range of words": (STEP, "algorithm = { int = [1, 2] }", ["--algorithm takes no int range"]),
    "out of range": (INNER, "inner-iters = { int = [0, 10] }", ["--inner-iters", "0"]),
    "float for an integer": (FIXED, "meta-iters = 2000.5", ["--meta-iters", "2000.5"]),
    "number for true": (FIXED, "sgd = 1", ["extra argument (1)"]),
    "a value twice": (STEP, "meta-step = [1.0, 1.0]", ["meta-step", "twice"]),
    "a single value": (STEP, "meta-step = 1.0", ["meta-step", "[fixed]"]),
    "in both tables": (FIXED, "meta-step = 1.0", ["meta-step", "two tables"]),
    "flag of the sweep": (FIXED, 'checkpoint = "runs/x"', ["checkpoint", "--out"]),
    "another measure": (STEP, "shots = [1, 5]", ["shots", "[fixed]"]),
    "seeds draw other classes": (STEP, "seed = [0, 1]", ["seed", "[fixed]"]),
    "contradiction at an end": (STEP, 'algorithm = ["reptile", "joint"]', ["one inner step"]),
    "no validation classes": ("val-classes = 100", "", ["val-classes", "validation"]),
    "unknown table": ("[fixed]", "[fixd]", ["[fixd]", "[fixed]"]),
    "no space": (f"[space]\n{LR}\n{INNER}\n{STEP}", "", ["[space]"]),
    "no method": (METHOD, "seed = 1", ["--method", "grid"]),
    "unknown method": (METHOD, 'method = "cmaes"', ["--method", "cma-es"]),
    "unknown setting": (METHOD, f"{METHOD}\nearly-stoping = 1", ["--early-stopping"]),
    "grace of more than all": (METHOD, f"{METHOD}\ngrace = 2", ["--grace"]),
    "unmeasured objective": (METHOD, f'{METHOD}\nobjective = "transductive"', ["both-modes"]),
    "grid of a range": (METHOD, 'method = "grid"', ["learning-rate", "give values"]),
    "cma-es of a list": (METHOD, 'method = "cma-es"', ["cma-es", "no lists"]),
    "cost and steps": (METHOD, f"{METHOD}\ntraining-images = 1000", ["meta-iters", "training-im"]),
    "first point elsewhere": (
        "[fixed]",
        "[[first]]\nlearning-rate = 1.0\ninner-iters = 3\nmeta-step = 1.0\n[fixed]",
        ["1.0", "learning-rate"],
    ),
    "first point in part": ("[fixed]", "[[first]]\nmeta-step = 1.0\n[fixed]", ["inner-iters"]),
    "no TOML": (METHOD, "method = random", ["line 2"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_is_said_in_one_line_before_anything_starts(
    tmp_path: Path, case: str
) -> None:
    old, new, words = BROKEN[case]
    assert old in SMALL
    path, out = written(tmp_path, SMALL.replace(old, new)), tmp_path / "out"
    where = ("--data-dir", tmp_path / "no data", "--out", out, "--trials", 3)
    outcome = call("sweep", path, *where, command=reptile)
    assert_refused(outcome, str(path), *words)
    assert not out.exists()
    assert not outcome.out


def refusal(tmp_path: Path, text: str, *more: object, code: int = 1) -> str:
    """What a sweep says that does not start."""
    where = ("--data-dir", tmp_path, "--out", tmp_path / "out")
    outcome = call("sweep", written(tmp_path, text), *where, *more, command=reptile)
    assert outcome.code == code, outcome
    return outcome.err.splitlines()[-1]


def test_the_number_of_trials(tmp_path: Path) -> None:
    assert "--trials is missing" in refusal(tmp_path, SMALL, code=2)
    grid = SMALL.replace("random", "grid").replace(LR, "").replace("{ int = [3, 10] }", "[3, 4]")
    assert "the grid has 4 points" in refusal(tmp_path, grid, "--trials", 3, code=2)


def test_directories_are_not_mixed(tmp_path: Path) -> None:
    assert "holds no sweep" in refusal(tmp_path, SMALL, "--trials", 3, "--resume")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sweep.json").write_text("{}")
    assert "--resume" in refusal(tmp_path, SMALL, "--trials", 3)


def test_data_without_validation_classes_are_refused(tmp_path: Path) -> None:
    """Your own images are divided by shares; one of them may be 0."""
    text = SMALL.replace(METHOD, f'{METHOD}\ncommand = "train"')
    text = text.replace("val-classes = 100", 'split = "0.5,0,0.5"\nclasses = 2\nimage-size = 8')
    for name in "abcdefgh":
        (tmp_path / name).mkdir()
        Image.new("L", (8, 8)).save(tmp_path / name / "only.png")
    assert "--split" in refusal(tmp_path, text, "--trials", 3)


@pytest.mark.parametrize("words", [["--help"], ["sweep", "--help"], ["sweep", "SPACE.toml"]])
def test_slow_packages_are_imported_only_for_a_sweep(tmp_path: Path, words: list[str]) -> None:
    written(tmp_path, SMALL.replace(LR, "lerning-rate = [1e-3]")).rename(tmp_path / "SPACE.toml")
    program = (
        "import sys; from supervised_reptile.cli.main import main; sys.argv[0] = 'reptile'\n"
        "try: main()\n"
        "finally: print(sorted({'ray', 'tensorflow', 'matplotlib'} & set(sys.modules)))"
    )
    words = [
        sys.executable,
        "-c",
        program,
        *words,
        *["--data-dir", "d", "--out", "o"][: 4 * ("SPACE.toml" in words)],
    ]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
