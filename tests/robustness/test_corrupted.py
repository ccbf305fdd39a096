"""Whatever happens to a file that is read back: it is named, or it makes no difference at all.

Every case takes a folder that the program wrote, damages one file of it and reads it again. What
comes out must be exactly what comes out of the undamaged folder; or an error of one line that
names the file; or, where the program goes on without the file, a warning that names it.

A case is reproduced by its number, `pytest "tests/robustness/test_corrupted.py::test_case[17]"`.
There are 600 of them, or as many as CORRUPTED_CASES says.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import pytest
from command_line import TINY, Outcome, call, flags, saved_state, saved_steps
from PIL import Image
from small_problem import small_images, small_snapshot

from supervised_reptile.analysis.study import Figure, Study, write_study
from supervised_reptile.analysis.tables import Table
from supervised_reptile.cli.main import reptile
from supervised_reptile.data.glyphs.draw_alphabets import GlyphSet, write_glyphs
from supervised_reptile.data.omniglot import load_omniglot
from supervised_reptile.data.store import ImageStore, StoreIndex, open_store, write_store
from supervised_reptile.errors import UserError
from supervised_reptile.inference.export import load_savedmodel, write_export
from supervised_reptile.paper.cost import Case, Measured
from supervised_reptile.runs.open_weights import open_snapshot, verify_export
from supervised_reptile.runs.read_run import read_alignment, read_metrics
from supervised_reptile.runs.snapshot import fingerprint
from supervised_reptile.system import package_files

CASES = int(os.environ.get("CORRUPTED_CASES", "600"))

# ---- damage


def flipped(content: bytes, chance: np.random.Generator) -> bytes:
    """One to three bits changed."""
    damaged = bytearray(content)
    for _ in range(chance.integers(1, 4)):
        damaged[chance.integers(len(damaged))] ^= 1 << chance.integers(8)
    return bytes(damaged)


def cut(content: bytes, chance: np.random.Generator) -> bytes:
    return content[: chance.integers(len(content))]


def zeroed(content: bytes, chance: np.random.Generator) -> bytes:
    start, length = chance.integers(len(content)), chance.integers(1, 4097)
    hole = content[start : start + length]
    return content[:start] + bytes(len(hole)) + content[start + len(hole) :]


def with_doubled_tail(content: bytes, chance: np.random.Generator) -> bytes:
    return content + content[chance.integers(len(content)) :]


def emptied(content: bytes, chance: np.random.Generator) -> bytes:
    return b""


CONTENTS = (flipped, flipped, flipped, cut, zeroed, with_doubled_tail, emptied)


def damage(path: Path, chance: np.random.Generator, vanishes: bool) -> str:
    """Damage a file in a random way; returns what was done."""
    kind = chance.integers(len(CONTENTS) + 1 + vanishes)
    if kind < len(CONTENTS) and path.stat().st_size:
        path.write_bytes(CONTENTS[kind](path.read_bytes(), chance))
        return CONTENTS[kind].__name__
    path.unlink()
    if kind == len(CONTENTS):
        path.mkdir()
        return "a directory"
    return "missing"


# ---- what is damaged, and how it is read


class Subject(NamedTuple):
    """A folder that the program wrote, and a way of reading it."""

    make: Callable[[pytest.TempPathFactory], Path]  # the undamaged folder
    files: tuple[str, ...]  # patterns of those that may be damaged
    read: Callable[[Path], Outcome]
    share: int  # of all cases
    lost: str = ""  # pattern of what is left out, where it goes on with a warning
    kept: Callable[[str], str] = str  # the part of the output that a warning does not excuse
    vanishes: bool = True  # whether a case may take a file away; else without it all begins anew


def reading(function: Callable[[], Any]) -> Outcome:
    """What `function` returns, as if it were a command that prints it."""
    return call(command=click.Command("read", callback=lambda: click.echo(repr(function()))))


def digest(*arrays: Any) -> str:
    hashed = hashlib.sha256()
    for array in arrays:
        hashed.update(np.ascontiguousarray(array))
    return hashed.hexdigest()


def with_files(outcome: Outcome, folder: Path, *names: str) -> Outcome:
    """`outcome`, whose output tells the content of written files as well."""
    if outcome.code:
        return outcome
    written = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    return outcome._replace(out=f"{outcome.out}\n{written}")


def trained(factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run that has three checkpoints, and the drawings it learnt."""
    folder = factory.getbasetemp() / "corrupted" / "trained"
    if not folder.exists():
        draw(folder / "data")
        outcome = call(*TINY, *place(folder), "--log-alignment", "--save-interval", 20)
        assert outcome.code == 0, outcome
        assert saved_steps(folder / "run") == [20, 40, 60]
    return folder


def place(folder: Path) -> list[str]:
    return flags(data_dir=folder / "data", checkpoint=folder / "run")


def draw(folder: Path) -> None:
    write_glyphs(folder, GlyphSet(seed=7, alphabets=2, characters=8, drawings=6), workers=1)


def measured(factory: pytest.TempPathFactory) -> Path:
    """The run without what is large, and another one of the same accuracies."""
    folder = factory.getbasetemp() / "corrupted" / "measured"
    if not folder.exists():
        large = shutil.ignore_patterns("checkpoints", "tensorboard", "*.png")
        for name in ("run", "other"):
            shutil.copytree(trained(factory) / "run", folder / name, ignore=large)
    return folder


def compare(folder: Path) -> Outcome:
    return call("compare", folder / "run", folder / "other", command=reptile)


def first_table(out: str) -> str:
    return out.split("\n\n\n")[0]


def plot(folder: Path) -> Outcome:
    outcome = call("plot", folder / "run", "--out", folder / "plot.png", command=reptile)
    return with_files(outcome, folder, "plot.png")


def logs(folder: Path) -> Outcome:
    def both() -> dict[str, list]:
        columns = {**read_metrics(folder / "run"), **read_alignment(folder / "run")}
        return {name: column.tolist() for name, column in columns.items()}

    return reading(both)


def snapshot(folder: Path) -> Outcome:
    return reading(lambda: fingerprint(open_snapshot(folder / "run")))


def state(folder: Path) -> str:
    arrays = saved_state(folder / "run", names=("weights", "second_moment", "time", "step"))
    return digest(*arrays.values())


def resume(folder: Path) -> Outcome:
    """Ends with the same weights, metrics and accuracies, whichever checkpoint it begins with."""
    outcome = call(*place(folder), "--resume")
    if outcome.code:
        return outcome
    end = "\n".join([*outcome.accuracies, state(folder)])
    return outcome._replace(out=end)


def evaluate(folder: Path) -> Outcome:
    as_trained = flags(shots=1, eval_iters=3, eval_samples=20, transductive=True)
    outcome = call(*place(folder), *as_trained, "--pretrained")
    return outcome._replace(out="\n".join(outcome.accuracies))


def studies(factory: pytest.TempPathFactory) -> Path:
    """A study with a picture, and a run beside it."""
    folder = factory.getbasetemp() / "corrupted" / "studies"
    if not folder.exists():
        shutil.copytree(measured(factory) / "run", folder / "results" / "run")
        study = folder / "results" / "study"
        study.mkdir()
        pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
        Image.fromarray(pixels).save(study / "curves.png")
        table = Table("Accuracy", ("what", "here"), (("g1", "20.0 ± 0.1"), ("g2", "95.0 ± 0.2")))
        figures = (Figure("The curves", "curves.png", "One for each."),)
        content = "Name", "Title", "Found.", ("a command",), 4000.0, {"python": "3"}
        write_study(study, Study(*content, tables=(table,), figures=figures))
    return folder


def report(folder: Path) -> Outcome:
    outcome = call("report", folder / "results", "--out", folder / "page", command=reptile)
    return with_files(outcome, folder / "page", "report.md", "report.html")


def stores(factory: pytest.TempPathFactory) -> Path:
    """A store as `reptile data import` writes them."""
    folder = factory.getbasetemp() / "corrupted" / "stores"
    if not folder.exists():
        splits = {"train": [0, 1, 2, 3, 4, 5, 6, 7], "val": [8, 9], "test": [10, 11]}
        names = tuple(f"class {number}" for number in range(12))
        files = tuple(f"{number}.png" for number in range(60))
        index = StoreIndex(names, (5,) * 12, (12, 12, 3), 255, splits, {"resize": "none"}, files)
        chance = np.random.default_rng(0)
        write_store(
            folder / "store",
            index,
            lambda pixels: np.copyto(pixels, chance.integers(0, 256, pixels.shape, np.uint8)),
        )
    return folder


def everything_of(store: ImageStore) -> tuple:
    splits = {name: ids.tolist() for name, ids in store.splits.items()}
    table = store.names, store.counts.tolist(), store.max_value, splits, store.files
    return (*table, store.provenance, digest(store.images))


def whole_store(folder: Path) -> Outcome:
    return reading(lambda: everything_of(open_store(folder / "store")))


def some_images(folder: Path) -> Outcome:
    """As large data are read: a few images at a time."""
    rows = np.array([3, 41, 17, 3])
    return reading(lambda: digest(open_store(folder / "store").images[rows]))


def info(folder: Path) -> Outcome:
    outcome = call("data", "info", folder / "store", "--out", folder / "sheet.png", command=reptile)
    return with_files(outcome, folder, "sheet.png")


def verify(folder: Path) -> Outcome:
    """The verdict is the last line of its report, rather than an error."""
    outcome = call("data", "verify", folder / "store", command=reptile)
    last = outcome.out.splitlines()[-1]
    return outcome._replace(err=last.replace("broken: ", "Error: ")) if outcome.code else outcome


def caches(factory: pytest.TempPathFactory) -> Path:
    """Drawn alphabets and the decoded copy of them in a cache."""
    folder = factory.getbasetemp() / "corrupted" / "caches"
    if not folder.exists():
        draw(folder / "data")
        assert cached(folder).code == 0
    return folder


def cached(folder: Path) -> Outcome:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPTILE_CACHE", str(folder / "cache"))
        return reading(lambda: digest(load_omniglot(folder / "data", seed=0).images))


def exports(factory: pytest.TempPathFactory) -> Path:
    """The same weights in every form."""
    folder = factory.getbasetemp() / "corrupted" / "exports"
    if not folder.exists():
        folder.mkdir(parents=True)
        for form in ("npz", "web", "savedmodel"):
            write_export(folder / form, small_snapshot(), form)
    return folder


def npz_file(folder: Path) -> Outcome:
    return reading(lambda: fingerprint(open_snapshot(folder / "npz" / "weights.npz")))


def npz_export(folder: Path) -> Outcome:
    return reading(lambda: fingerprint(open_snapshot(folder / "npz")))


def web_export(folder: Path) -> Outcome:
    return reading(lambda: verify_export(folder / "web"))


def savedmodel(folder: Path) -> Outcome:
    def answers() -> list:
        import tensorflow as tf

        model = load_savedmodel(folder / "savedmodel")
        images = tf.constant(small_images()[:6].astype(np.float32) / 255)
        answer = model.signatures["serving_default"](
            support_images=images[:4],
            support_labels=tf.constant([0, 0, 1, 1]),
            query_images=images[4:],
            steps=tf.constant(2),
        )
        return answer["probabilities"].numpy().tolist()

    return reading(answers)


def predict(folder: Path) -> Outcome:
    for label, image in enumerate(small_images()[:6]):
        path = folder / "pictures" / f"class {label % 2}" / f"{label}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.squeeze()).save(path)
    support = folder / "pictures"
    words = ["--support", support, "--query", support / "class 0", "--steps", 2, "--csv"]
    return call("predict", "--checkpoint", folder / "npz", *words, command=reptile)


def costs(factory: pytest.TempPathFactory) -> Path:
    folder = factory.getbasetemp() / "corrupted" / "costs"
    if not folder.exists():
        kept = Measured(folder, threads=1)
        for steps in range(1, 6):
            result = {"base": 900.0, "peak": 901.5 + steps, "seconds": 0.013 * steps}
            kept.add(Case("maml", steps, 0), result, seconds=0.25)
    return folder


def measurements(folder: Path) -> Outcome:
    def read() -> tuple:
        kept = Measured(folder, threads=1)
        return kept.results, kept.seconds, kept.about

    return reading(read)


def sweeps(factory: pytest.TempPathFactory) -> Path:
    folder = factory.getbasetemp() / "corrupted" / "sweeps"
    if not folder.exists():
        study = sweep_study(folder)
        for number in range(4):
            study.tell(study.ask().number, 0.1 * number)
        study.ask()
    return folder


def sweep_study(folder: Path) -> Any:
    pytest.importorskip("optuna", reason="the extra [sweep] is not installed")
    from supervised_reptile.sweep.dimensions import Choices, Range
    from supervised_reptile.sweep.space import Space
    from supervised_reptile.sweep.study import Study as Search

    dimensions = {"learning-rate": Range(1e-4, 1e-2, log=True), "meta-step": Choices((0.5, 1.0))}
    return Search(folder, Space("omniglot", "random", dimensions, {}))


def sweep(folder: Path) -> Outcome:
    def trials() -> list:
        if not (folder / "sweep.json").exists():
            raise UserError(f"{folder}: holds no sweep to resume")  # as the command says it
        return sweep_study(folder).trials

    return reading(trials)


def package(factory: pytest.TempPathFactory) -> Path:
    folder = factory.getbasetemp() / "corrupted" / "package"
    if not folder.exists():
        shutil.copytree(package_files.metadata_folder(), folder / "metadata")
    return folder


def metadata(folder: Path) -> Outcome:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(package_files, "PACKAGE", folder)
        return reading(
            lambda: [package_files.read_metadata(name) for name in package_files.METADATA]
        )


NEWEST = "run/checkpoints/ckpt-60.*"
SUBJECTS = {
    "compare": Subject(measured, ("run/*.json",), compare, 8, lost="run/*.json"),
    "compare, episodes": Subject(measured, ("run/episodes/*",), compare, 4, kept=first_table),
    "plot": Subject(measured, ("run/*.json*", "run/metrics.*"), plot, 2),
    "logs": Subject(measured, ("run/metrics.*", "run/alignment.[cj]*"), logs, 8),
    "checkpoints": Subject(trained, ("run/checkpoints/*",), snapshot, 10, NEWEST),
    "resume": Subject(trained, ("run/*.[cj]*", "run/checkpoints/*"), resume, 1),
    "evaluate": Subject(trained, ("run/*.[cj]*", "run/checkpoints/*"), evaluate, 1, NEWEST),
    "report": Subject(
        studies, ("results/study/*", "results/run/*.json"), report, 8, lost="results/run/*.json"
    ),
    "store": Subject(stores, ("store/*",), whole_store, 8),
    "store, some images": Subject(stores, ("store/*",), some_images, 4),
    "store, info": Subject(stores, ("store/*",), info, 4),
    "store, verify": Subject(stores, ("store/*",), verify, 4),
    "cache": Subject(caches, ("cache/**/*",), cached, 6),
    "weights.npz": Subject(exports, ("npz/weights.npz",), npz_file, 8),
    "export, npz": Subject(exports, ("npz/*",), npz_export, 4),
    "export, web": Subject(exports, ("web/*",), web_export, 4),
    "export, SavedModel": Subject(exports, ("savedmodel/**/*",), savedmodel, 1),
    "predict": Subject(exports, ("npz/*",), predict, 1),
    "measurements": Subject(costs, ("measurements.json",), measurements, 4, vanishes=False),
    "sweep": Subject(sweeps, ("[s]*.*",), sweep, 8),
    "metadata": Subject(package, ("metadata/**/*",), metadata, 2),
}
ORDER = [name for name, subject in SUBJECTS.items() for _ in range(subject.share)]

# ---- the campaign


class Judged(NamedTuple):
    subject: str
    file: str
    outcome: str  # named, went on with a warning, or harmless


@pytest.fixture(scope="module")
def tally() -> Iterator[Counter[Judged]]:
    """What came out; printed at the end (`pytest -s`)."""
    counts: Counter[Judged] = Counter()
    yield counts
    print()
    for judged, count in sorted(counts.items()):
        print(f"{judged.subject:24}{judged.file:44}{judged.outcome:12}{count:4}")


class Expected(NamedTuple):
    """What reading gives without damage, and without what may be left out."""

    whole: Outcome
    rest: Outcome


_expected: dict[str, Expected] = {}


def expected(name: str, work: Path, factory: pytest.TempPathFactory) -> Expected:
    subject = SUBJECTS[name]
    if name not in _expected:
        whole = rest = subject.read(lay_out(name, work, factory))
        assert (whole.code, whole.err) == (0, ""), whole
        if subject.lost:
            folder = lay_out(name, work, factory)
            for path in folder.glob(subject.lost):
                path.unlink()
            rest = subject.read(folder)
            assert rest.code == 0, rest
            assert rest.out != whole.out
        _expected[name] = Expected(whole, rest)
    return _expected[name]


def lay_out(name: str, work: Path, factory: pytest.TempPathFactory) -> Path:
    """A fresh copy of the subject's folder."""
    shutil.rmtree(work, ignore_errors=True)
    return shutil.copytree(SUBJECTS[name].make(factory), work)


def judge(outcome: Outcome, wanted: Expected, file: Path, kept: Callable[[str], str]) -> str:
    """named, warned or harmless; anything else fails."""
    *before, last = outcome.err.splitlines() or [""]
    assert all(line.startswith(("Warning: ", "Note: ")) for line in before), outcome
    if outcome.code:
        assert outcome.code == 1, outcome
        assert last.startswith("Error: "), outcome
        assert is_named(file, last), outcome
        return "named"
    if outcome == wanted.whole:
        return "harmless"
    # Notes of tables are broken into lines.
    said = [*outcome.err.splitlines(), " ".join(outcome.out.split())]
    assert any(is_named(file, line) for line in said if COMPLAINT.search(line)), outcome
    assert kept(outcome.out) in (kept(wanted.whole.out), kept(wanted.rest.out)), (outcome, wanted)
    return "warned"


COMPLAINT = re.compile("cannot be read|has lost lines|not readable|Note: skipped")


def is_named(file: Path, message: str) -> bool:
    """By itself, or its folder with what it is in there."""
    return any(word in message for word in (file.name, file.stem, str(file.parent)))


@pytest.mark.parametrize("case", range(CASES))
def test_case(case: int, tally: Counter[Judged], tmp_path_factory: pytest.TempPathFactory) -> None:
    chance = np.random.default_rng([2024, case])
    name = ORDER[case % len(ORDER)]
    work = tmp_path_factory.getbasetemp() / "corrupted" / "work"
    wanted = expected(name, work, tmp_path_factory)
    folder = lay_out(name, work, tmp_path_factory)
    found = {path for pattern in SUBJECTS[name].files for path in folder.glob(pattern)}
    files = sorted(path for path in found if path.is_file())
    file = files[chance.integers(len(files))]
    done = damage(file, chance, SUBJECTS[name].vanishes)
    print(f"{name}: {file.relative_to(folder)} {done}")
    outcome = SUBJECTS[name].read(folder)
    print(outcome)
    judged = judge(outcome, wanted, file, SUBJECTS[name].kept)
    tally[Judged(name, re.sub(r"-?\d+", "", file.name), judged)] += 1
