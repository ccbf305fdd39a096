"""A folder with a little of everything that a command line may name, sound and not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from small_problem import small_snapshot
from stored_runs import some_answers, write_metrics, write_result, write_run

from supervised_reptile.data.glyphs.draw_alphabets import GlyphSet, write_glyphs
from supervised_reptile.runs.snapshot import write_npz

# Names in the folder, or of nothing. None is outside of it: commands may write what they name.
PLACES = (
    "nowhere", "nowhere/below", "empty", "text.txt", "text.txt/below", "words with spaces",
    "new\nline", "ünï", "alphabets", "mini", "photos", "photos/one/1.png", "broken", "run",
    "other run", "begun run", "broken run", "weights.npz", "broken.npz", "space.toml",
    "broken.toml", "itself", "dangling", "results", "", "a" * 300, "b/" * 3000, "/proc/nowhere/x",
    "omniglot-5way", "support", "not utf-8 \udcff", "-dash", "new.png", "new.svg",
)  # fmt: skip
SPACE = """
[search]
method = "random"
[space]
learning-rate = { log = [1e-4, 1e-2] }
inner-iters = { int = [1, 2] }
[fixed]
meta-iters = 2
val-classes = 1
"""


def write_strange_folder(folder: Path) -> Path:
    """Write all that PLACES names, but for what is nowhere."""
    folder.mkdir(parents=True)
    for name in ("empty", "words with spaces", "ünï", "results", "-dash"):
        (folder / name).mkdir()
    (folder / "text.txt").write_text("mine")
    (folder / "words with spaces" / "text.txt").write_text("mine")
    (folder / "itself").symlink_to("itself")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "broken.toml").write_bytes(b"[space\xff")
    (folder / "broken.npz").write_bytes(b"PK\3\4 and no more")
    (folder / "space.toml").write_text(SPACE)
    write_glyphs(folder / "alphabets", GlyphSet(1, 1, 12, 4), workers=1)
    write_npz(folder / "weights.npz", small_snapshot())
    _write_pictures(folder)
    _write_runs(folder)
    return folder


def _write_pictures(folder: Path) -> None:
    """Class folders, ready splits of them, and alphabets with a drawing that is none."""
    names = [
        f"photos/{label}" for label in ("one", "two", "three", "four", "five", "not utf-8 \udcff")
    ]
    names += [f"support/{label}" for label in ("one", "two", "three")]
    names += [f"mini/{part}/{part}{i}" for part in ("train", "val", "test") for i in range(2)]
    chance = np.random.default_rng(0)
    for name in names:
        (folder / name).mkdir(parents=True)
        for i in range(3):
            pixels = chance.integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    (folder / "broken" / "Alphabet" / "character01").mkdir(parents=True)
    (folder / "broken" / "Alphabet" / "character01" / "0001_01.png").write_text("no drawing")


def _write_runs(folder: Path) -> None:
    for seed, name in enumerate(("run", "other run", "new\nline", "not utf-8 \udcff")):
        run = write_metrics(write_run(folder / name, seed=seed), looks=5)
        write_result(run, {"transductive_test": some_answers(seed)})
    write_run(folder / "begun run")
    (folder / "broken run").mkdir()
    (folder / "broken run" / "config.json").write_text('{"config": [')
