"""SPACE.toml: what it may say, and the one line that is said about what it may not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from command_line import assert_refused, call
from PIL import Image

from supervised_reptile.cli.main import reptile
from supervised_reptile.errors import UserError
from supervised_reptile.sweep.dimensions import Choices, Range
from supervised_reptile.sweep.space import Space, configuration, extremes
from supervised_reptile.sweep.space_file import read_space

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
SMALL = """
[search]
method = "random"
[space]
learning-rate = { log = [1e-4, 1e-2] }
inner-iters = { int = [3, 10] }
meta-step = [0.5, 1.0]
[fixed]
meta-iters = 2000
val-classes = 100
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "space.toml"
    path.write_text(text)
    return path


def test_a_byte_order_mark_is_no_part_of_it(tmp_path: Path) -> None:
    """Windows' editors put it in front."""
    path = written(tmp_path, WHOLE)
    space = read_space(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_space(path) == space


def test_everything_that_a_space_may_say(tmp_path: Path) -> None:
    space = read_space(written(tmp_path, WHOLE))
    assert space.dimensions == {
        "learning-rate": Range(1e-4, 1e-2, log=True),
        "meta-step-final": Range(0, 0.5),
        "inner-iters": Range(3, 10, integer=True),
        "inner-batch": Range(5, 20, log=True, integer=True),
        "meta-step": Choices((0.5, 1.0)),
        "algorithm": Choices(("reptile", "foml")),
        "sgd": Choices((True, False)),
    }
    assert (space.method, space.seed, space.objective) == ("random", 3, "non-transductive")
    assert space.early_stopping
    assert space.early_stopping.grace == 0.25
    assert space.first[0]["inner-batch"] == 10
    assert space.grid_size is None


def test_a_point_becomes_the_flags_of_the_run_script(tmp_path: Path) -> None:
    space = read_space(written(tmp_path, WHOLE))
    point = {**space.first[0], "learning-rate": 0.1 + 0.2, "sgd": True}
    config = configuration("omniglot", space.words(point))
    assert config.inner_rate == 0.1 + 0.2  # to the last bit
    assert config.sgd
    assert config.transductive
    assert (config.outer_steps, config.inner_batch, config.val_classes) == (2000, 10, 100)
    assert not configuration("omniglot", space.words(space.first[0])).sgd


def test_a_switch_is_turned_off_by_its_own_flag() -> None:
    space = Space("omniglot", "grid", {}, {"transductive": False, "both-modes": False})
    assert space.words({}) == ["--no-transductive"]


@pytest.mark.parametrize("steps", [1, 4, 7])
def test_equal_cost_is_equal_training_images(tmp_path: Path, steps: int) -> None:
    text = SMALL.replace("meta-iters = 2000", "meta-batch = 5\ninner-batch = 10")
    text = text.replace('"random"', '"random"\ntraining-images = 140_000')
    space = read_space(written(tmp_path, text))
    config = configuration("omniglot", space.words({"inner-iters": steps}))
    assert config.outer_steps == 140_000 / (5 * 10 * steps)


def test_a_grid_has_a_point_for_every_combination(tmp_path: Path) -> None:
    text = SMALL.replace('"random"', '"grid"')
    text = text.replace("{ log = [1e-4, 1e-2] }", "[1e-4, 1e-3, 1e-2]")
    space = read_space(written(tmp_path, text.replace("{ int = [3, 10] }", "[3, 5]")))
    assert space.grid_size == 12
    assert len({tuple(point.items()) for point in extremes(space)}) == 12


def test_other_commands_have_their_own_flags(tmp_path: Path) -> None:
    text = SMALL.replace('"random"', '"random"\ncommand = "train"').replace("val-classes = 100", "")
    space = read_space(written(tmp_path, text + 'image-size = 28\nsplit = "0.5,0.25,0.25"'))
    assert space.fixed["image-size"] == 28


LR, INNER, STEP = (
    "learning-rate = { log = [1e-4, 1e-2] }",
    "inner-iters = { int = [3, 10] }",
    ("meta-step = [0.5, 1.0]"),
)
METHOD, FIXED = 'method = "random"', "meta-iters = 2000"
# What is put in place of what, and words of the answer.
BROKEN = {
    "unknown flag": (LR, "lerning-rate = [1e-3]", ["--lerning-rate", "mean learning-rate?"]),
    "flag with dashes": (LR, "--learning-rate = [1e-3]", ["--learning-rate", "dashes"]),
    "unknown flag in fixed": (FIXED, "meta-iter = 2000", ["--meta-iter;", "mean meta-iters?"]),
    "empty list": (STEP, "meta-step = []", ["meta-step", "at least one"]),
    "empty range": (LR, "learning-rate = { log = [1e-2, 1e-4] }", ["learning-rate", "empty"]),
    "endless integer": (LR, f"learning-rate = {{ log = [1, 1{'0' * 400}] }}", ["too large"]),
    "endless integer in a list": (LR, f"learning-rate = [1{'0' * 400}]", ["too large"]),
    "endless grid": (
        f"{METHOD}\n[space]\n{LR}\n{INNER}\n{STEP}",
        f'method = "grid"\n[space]\nseed = {list(range(400))}\ninner-batch = {list(range(1, 401))}',
        ["160,000 points"],
    ),
    "range of one number": (INNER, "inner-iters = { int = [3, 3] }", ["inner-iters", "empty"]),
    "range with one end": (INNER, "inner-iters = { int = [3] }", ["inner-iters", "two numbers"]),
    "range of text": (INNER, 'inner-iters = { int = ["a", "b"] }', ["inner-iters", "two numbers"]),
    "infinite range": (LR, "learning-rate = { log = [1e-4, inf] }", ["learning-rate", "two num"]),
    "logarithm of nothing": (LR, "learning-rate = { log = [0, 1] }", ["learning-rate", "above 0"]),
    "unknown range": (LR, "learning-rate = { logg = [1e-4, 1] }", ["learning-rate", "mean log?"]),
    "two ranges": (LR, "learning-rate = { log = [1, 2], int = [1, 2] }", ["learning-rate", "one"]),
    "floats for integers": (INNER, "inner-iters = { log = [3, 10] }", ["integers", "log-int"]),
    "integers for floats": (LR, "learning-rate = { int = [1, 2] }", ["learning-rate", "linear"]),
    "range of words": (STEP, "algorithm = { int = [1, 2] }", ["algorithm", "no numbers"]),
    "out of range": (INNER, "inner-iters = { int = [0, 10] }", ["inner-iters", "0"]),
    "negative value": (STEP, "meta-step = [-1.0]", ["meta-step", "-1.0"]),
    "text for a number": (STEP, 'meta-step = ["1.0"]', ["meta-step", "quotes"]),
    "number for text": (STEP, "algorithm = [1]", ["algorithm", "quotes"]),
    "float for an integer": (FIXED, "meta-iters = 2000.5", ["meta-iters", "integers"]),
    "true for a number": (FIXED, "meta-iters = true", ["meta-iters", "it takes one value"]),
    "number for true": (FIXED, "sgd = 1", ["sgd", "true or false"]),
    "unknown word": (STEP, 'algorithm = ["reptil"]', ["algorithm", "reptil", "foml"]),
    "a value twice": (STEP, "meta-step = [1.0, 1.0]", ["meta-step", "twice"]),
    "a single value": (STEP, "meta-step = 1.0", ["meta-step", "[fixed]"]),
    "in both tables": (FIXED, "meta-step = 1.0", ["meta-step", "both"]),
    "flag of the sweep": (FIXED, 'checkpoint = "runs/x"', ["checkpoint", "--out"]),
    "threads": (FIXED, "threads = 1", ["threads", "reptile sweep"]),
    "another measure": (STEP, "shots = [1, 5]", ["shots", "[fixed]"]),
    "contradiction": (FIXED, "meta-iters = 9\nfoml-tail = 2", ["--foml-tail", "--foml"]),
    "contradiction at an end": (
        STEP, 'algorithm = ["reptile", "joint"]', ["algorithm = joint", "one inner step"],
    ),
    "no validation classes": ("val-classes = 100", "", ["--val-classes", "validation"]),
    "unknown table": ("[fixed]", "[fixd]", ["[fixd]", "mean fixed?"]),
    "no space": (f"[space]\n{LR}\n{INNER}\n{STEP}", "", ["[space]"]),
    "no method": (METHOD, "seed = 1", ["method", "grid"]),
    "unknown method": (METHOD, 'method = "cmaes"', ["method", "mean cma-es?"]),
    "unknown setting": (METHOD, f"{METHOD}\nearly-stoping = 1", ["mean early-stopping?"]),
    "grace without rule": (METHOD, f"{METHOD}\ngrace = 0.1", ["grace", "asha"]),
    "grace of more than all": (
        METHOD, f'{METHOD}\nearly-stopping = "asha"\ngrace = 2', ["grace", "between 0 and 1"],
    ),
    "unknown command": (METHOD, f'{METHOD}\ncommand = "imagenet"', ["mean miniimagenet?"]),
    "unmeasured objective": (
        METHOD, f'{METHOD}\nobjective = "transductive"', ["objective", "both-modes"],
    ),
    "grid of a range": (METHOD, 'method = "grid"', ["learning-rate", "lists"]),
    "cma-es of a list": (METHOD, 'method = "cma-es"', ["cma-es", "meta-step is a list"]),
    "cost and steps": (METHOD, f"{METHOD}\ntraining-images = 1000", ["meta-iters", "training-im"]),
    "first point elsewhere": (
        "[fixed]",
        "[[first]]\nlearning-rate = 1.0\ninner-iters = 3\nmeta-step = 1.0\n[fixed]",
        ["[[first]]", "learning-rate", "outside"],
    ),
    "first point in part": ("[fixed]", "[[first]]\nmeta-step = 1.0\n[fixed]", ["inner-iters"]),
    "no TOML": (METHOD, "method = random", ["TOML"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_is_said_in_one_line_before_anything_starts(
    tmp_path: Path, case: str
) -> None:
    old, new, words = BROKEN[case]
    assert old in SMALL
    path = written(tmp_path, SMALL.replace(old, new))
    out = tmp_path / "out"
    place = ("--data-dir", tmp_path / "no data", "--out", out, "--trials", 3)
    outcome = call("sweep", path, *place, command=reptile)
    assert_refused(outcome, str(path), *words)
    assert not out.exists()
    assert not outcome.out


def test_more_training_images_than_can_be_counted(tmp_path: Path) -> None:
    text = SMALL.replace(METHOD, f"{METHOD}\ntraining-images = 1{'0' * 400}").replace(FIXED, "")
    assert "'--meta-iters'" in sweep(tmp_path, text, "--trials", 3, code=1)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        read_space(tmp_path / "nowhere.toml")


def sweep(tmp_path: Path, text: str, *more: object, code: int) -> str:
    """Start a sweep that is refused; returns what it says."""
    words = ("--data-dir", tmp_path, "--out", tmp_path / "out", *more)
    outcome = call("sweep", written(tmp_path, text), *words, command=reptile)
    assert outcome.code == code
    return outcome.err.splitlines()[-1]


def test_the_number_of_trials(tmp_path: Path) -> None:
    assert "--trials" in sweep(tmp_path, SMALL, code=2)
    grid = SMALL.replace('"random"', '"grid"').replace("{ log = [1e-4, 1e-2] }", "[1e-4]")
    grid = grid.replace("{ int = [3, 10] }", "[3, 4]")
    assert "the grid has 4 points" in sweep(tmp_path, grid, "--trials", 3, code=2)


def test_folders_are_not_mixed(tmp_path: Path) -> None:
    assert "no sweep to resume" in sweep(tmp_path, SMALL, "--trials", 3, "--resume", code=1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sweep.json").write_text("{}")
    assert "--resume" in sweep(tmp_path, SMALL, "--trials", 3, code=1)
    (tmp_path / "out" / "sweep.json").unlink()


def test_data_without_validation_classes_are_refused(tmp_path: Path) -> None:
    """Your own images are divided by shares; one of them may be 0."""
    text = SMALL.replace('"random"', '"random"\ncommand = "train"')
    text = text.replace("val-classes = 100", 'split = "0.5,0,0.5"\nclasses = 2\nimage-size = 8')
    for name in "abcdefgh":
        (tmp_path / name).mkdir()
        Image.new("L", (8, 8)).save(tmp_path / name / "only.png")
    assert "--split" in sweep(tmp_path, text, "--trials", 3, code=1)


def test_engines_are_imported_only_for_a_sweep(tmp_path: Path) -> None:
    """Reading and refusing a space is instant, and needs nothing that is not there anyway."""
    path = written(tmp_path, SMALL.replace(LR, "lerning-rate = [1e-3]"))
    program = (
        "import sys; from supervised_reptile.cli.main import main; sys.argv[0] = 'reptile'\n"
        "try: main()\n"
        "finally: print(sorted({'ray', 'optuna', 'tensorflow', 'matplotlib'} & set(sys.modules)))"
    )
    for words in (
        ["--help"],
        ["sweep", "--help"],
        ["sweep", path, "--data-dir", "d", "--out", "o"],
    ):
        done = subprocess.run(
            [sys.executable, "-c", program, *map(str, words)], capture_output=True, text=True
        )
        assert done.stdout.splitlines()[-1] == "[]", words
    assert done.returncode == 1
