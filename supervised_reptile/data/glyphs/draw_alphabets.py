"""Drawn alphabets: a stand-in for Omniglot that needs no download.

Invented characters (`glyph_programs`), drawn by invented people (`glyph_drawing`), in
Omniglot's own folders and image format::

    <out>/<Alphabet_name>/character01/0001_01.png    character 1 of all, by drawer 1
    <out>/glyphs.json                                seed and sizes: the mark of such a set
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path

import numpy as np
from PIL import Image

from supervised_reptile.data.glyphs.characters import (
    Character,
    Style,
    invent_character,
    invent_style,
)
from supervised_reptile.data.glyphs.drawing import IDEAL, SIDE, draw, invent_drawer
from supervised_reptile.data.glyphs.random_draws import Chance
from supervised_reptile.errors import UserError
from supervised_reptile.system.atomic_files import writing
from supervised_reptile.system.atomic_folders import appearing_whole
from supervised_reptile.system.progress_bar import Bar
from supervised_reptile.system.thread_pool import cores, map_ahead

FORMAT = "supervised-reptile drawn alphabets"
VERSION = 1  # another one draws otherwise from the same seed
MARK_FILE = "glyphs.json"

NAMING, INVENTING, DRAWER, DRAWING = range(4)  # what a stream of chance is for

CELL = 7  # pixels a side of the squares in which ink is counted to compare characters
CELLS = SIDE // CELL
DISTINCT = 0.25  # the least unlikeness of two characters of a set
MOST_DRAWINGS = 10**7  # some three hundred times Omniglot
ATTEMPTS = 40  # characters invented before the most distinct of them is taken anyway

SYLLABLES = ("ba", "de", "fo", "gri", "ka", "lu", "mi", "na", "or", "pe")
SYLLABLES += ("qua", "ren", "sol", "ta", "ul", "vo", "wen", "xi", "yar", "zel")


@dataclass(frozen=True)
class GlyphSet:
    """What to draw: determines every pixel."""

    seed: int = 0
    alphabets: int = 40
    characters: int = 40  # in each alphabet
    drawings: int = 20  # of each character, each by another drawer of the alphabet


@dataclass(frozen=True)
class Alphabet:
    """One invented alphabet: small enough to hand to another process."""

    index: int
    name: str
    first_number: int  # of its first character among all of the set, from 1
    characters: tuple[Character, ...]


def write_glyphs(
    out: Path, glyphs: GlyphSet, overwrite: bool = False, workers: int | None = None
) -> None:
    """Draw `glyphs` into the folder `out`, which appears only when complete.

    Args:
      out: new or empty, or with `overwrite` a folder that this function wrote.
      glyphs: seed and sizes. The images depend on nothing else.
      overwrite: replace an earlier set in `out`.
      workers: processes; default one per processor. More than one are started afresh
        ("spawn"), so a script must call this below `if __name__ == "__main__":`.

    Raises:
      UserError: `out` holds something else or cannot be written, or there would be too many.
    """
    total = glyphs.alphabets * glyphs.characters * glyphs.drawings
    if total > MOST_DRAWINGS:
        raise UserError(
            f"--alphabets {glyphs.alphabets} x --characters {glyphs.characters} x --drawings "
            f"{glyphs.drawings}: {total:,} drawings, and {MOST_DRAWINGS:,} is the most"
        )
    check = partial(_refuse_to_harm, overwrite=overwrite)
    with writing(out), appearing_whole(out, check) as folder:
        names = _write_images(folder, glyphs, workers or cores())
        mark = {"format": FORMAT, "version": VERSION, **asdict(glyphs), "names": names}
        (folder / MARK_FILE).write_text(json.dumps(mark, indent=1), encoding="utf8")


def invent_alphabets(glyphs: GlyphSet) -> Iterator[Alphabet]:
    """The alphabets of the set, one after the other: each avoids the characters before it."""
    known = KnownCharacters(glyphs.alphabets * glyphs.characters)
    names: set[str] = set()
    for index in range(glyphs.alphabets):
        name = _invent_name(Chance(glyphs.seed, NAMING, index), names)
        names.add(name)
        chance = Chance(glyphs.seed, INVENTING, index)
        style = invent_style(chance)
        characters = tuple(known.invent(chance, style) for _ in range(glyphs.characters))
        yield Alphabet(index, name, index * glyphs.characters + 1, characters)


class KnownCharacters:
    """The characters of a set so far, blurred, to tell whether another looks like one of them."""

    def __init__(self, capacity: int) -> None:
        self._blurred = np.zeros((capacity, CELLS * CELLS), np.int16)
        self._ink = np.zeros(capacity, np.int32)
        self._count = 0

    def invent(self, chance: Chance, style: Style) -> Character:
        """A character in `style` unlike all others, now one of them."""
        best, best_blurred, best_unlikeness = (), np.empty(0, np.int16), -1.0
        for _ in range(ATTEMPTS):
            character = invent_character(chance, style)
            blurred = _blurred(character)
            unlikeness = self._unlikeness(blurred)
            if unlikeness > best_unlikeness:
                best, best_blurred, best_unlikeness = character, blurred, unlikeness
            if unlikeness >= DISTINCT:
                break
        self._blurred[self._count] = best_blurred
        self._ink[self._count] = best_blurred.sum(dtype=np.int32)
        self._count += 1
        return best

    def _unlikeness(self, blurred: np.ndarray) -> float:
        """To the most alike: 0 for the same, 1 for no ink in a common place."""
        different = np.abs(self._blurred[: self._count] - blurred).sum(1, dtype=np.int32)
        together = self._ink[: self._count] + blurred.sum(dtype=np.int32)
        return float((different / together).min(initial=1.0))


def _blurred(character: Character) -> np.ndarray:
    """Ink in and around each cell, int16 [cells]: whole numbers compare exactly anywhere."""
    ink = draw(character, IDEAL, Chance(0))
    cells = ink.reshape(CELLS, CELL, CELLS, CELL).sum((1, 3), dtype=np.int16)
    padded = np.pad(cells, 1)
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    return (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]).ravel()


def _invent_name(chance: Chance, taken: set[str]) -> str:
    name = chance.choose(SYLLABLES).capitalize()
    while len(name) < 5 or name in taken:
        name += chance.choose(SYLLABLES)
    return name


def _write_images(folder: Path, glyphs: GlyphSet, workers: int) -> list[str]:
    """Draw everything into `folder`; returns the alphabets' names, sorted."""
    names = []
    each = glyphs.characters * glyphs.drawings
    with (
        Bar(total=glyphs.alphabets * each, unit=" drawings") as progress,
        contextlib.closing(_each_written(folder, glyphs, workers)) as written,
    ):
        for name in written:
            names.append(name)
            progress.update(each)
    return sorted(names)


def _each_written(folder: Path, glyphs: GlyphSet, workers: int) -> Generator[str, None, None]:
    """The name of each alphabet, as it gets ready."""
    workers = min(workers, glyphs.alphabets)
    if workers == 1:
        for alphabet in invent_alphabets(glyphs):
            yield _write_alphabet(folder, glyphs, alphabet)
        return
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_follow_parent)
    try:
        yield from map_ahead(
            pool, partial(_write_alphabet, folder, glyphs), invent_alphabets(glyphs)
        )
    finally:
        pool.shutdown(cancel_futures=True)


def _follow_parent() -> None:
    """Leaves Ctrl-C to the parent process, and ends when that is ended in another way."""

    def end_with_parent() -> None:
        if parent := parent_process():
            parent.join()
            os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()


def _write_alphabet(folder: Path, glyphs: GlyphSet, alphabet: Alphabet) -> str:
    drawers = [
        invent_drawer(Chance(glyphs.seed, DRAWER, alphabet.index, number))
        for number in range(glyphs.drawings)
    ]
    (folder / alphabet.name).mkdir()
    for place, character in enumerate(alphabet.characters):
        number = alphabet.first_number + place
        images = folder / alphabet.name / f"character{place + 1:02}"
        images.mkdir()
        for index, drawer in enumerate(drawers):
            ink = draw(character, drawer, Chance(glyphs.seed, DRAWING, number, index))
            Image.fromarray(~ink).save(images / f"{number:04}_{index + 1:02}.png")
    return alphabet.name


def _refuse_to_harm(out: Path, overwrite: bool) -> None:
    """Raises UserError unless `out` is free, or a set of drawn alphabets that may be replaced."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if (names := _names_in_mark(out)) is None:
        raise UserError(
            f"{out}: exists but was not written by this command, so --overwrite never "
            "replaces it; choose another folder"
        )
    if foreign := sorted({path.name for path in out.iterdir()} - {MARK_FILE, *names}):
        raise UserError(f"{out}: holds more than drawn alphabets ({foreign[0]}); move that away")
    if not overwrite:
        raise UserError(f"{out}: already holds drawn alphabets; replace them with --overwrite")


def _names_in_mark(out: Path) -> list[str] | None:
    """The alphabets' folders of the set in `out`; None if it is not one of ours."""
    try:
        mark = json.loads((out / MARK_FILE).read_text(encoding="utf8"))
        return [str(name) for name in mark["names"]] if mark["format"] == FORMAT else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
