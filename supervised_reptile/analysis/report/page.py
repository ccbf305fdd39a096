"""Page: everything a report shows, gathered from the folders."""

from __future__ import annotations

import re
import struct
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from supervised_reptile.analysis.compare import (
    EvaluatedRun,
    SettingFilter,
    read_runs,
    settings_of,
)
from supervised_reptile.analysis.leaderboard import leaderboard
from supervised_reptile.analysis.study import STUDY, Figure, Study, read_study
from supervised_reptile.analysis.tables import Table
from supervised_reptile.config import Config
from supervised_reptile.errors import UserError, first_few
from supervised_reptile.runs.read_run import (
    check_exists,
    is_run,
    kind_of,
    note_skipped,
    subfolders,
)

RUNS = "other-runs"  # the anchor of the section on runs that belong to no study


class FigureFile(NamedTuple):
    """A figure of a study and its PNG."""

    figure: Figure
    path: Path
    content: bytes

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels, from the PNG's header."""
        width, height = struct.unpack(">II", self.content[16:24])
        return width, height


class Entry(NamedTuple):
    """A study in the page."""

    anchor: str  # unique in the page
    study: Study
    figures: tuple[FigureFile, ...]


class Page(NamedTuple):
    """The whole report."""

    title: str
    entries: tuple[Entry, ...]
    runs: tuple[Table, ...]  # of the runs that belong to no study

    @property
    def contents(self) -> list[tuple[str, str]]:
        """(anchor, title) of every section."""
        own = [(entry.anchor, entry.study.title) for entry in self.entries]
        return own + [(RUNS, "Other runs" if own else "Runs")] * bool(self.runs)


def gather(folders: Sequence[Path], title: str) -> Page:
    """All studies in the folders and below, and the runs on images that lie in no study's folder.

    A run on sine waves is in its own study as soon as it is done.

    Raises:
      UserError: a folder is missing, there is nothing in any of them, or a study, or all runs,
        cannot be read.
    """
    studies: dict[Path, Path] = {}  # resolved -> as given
    runs: dict[Path, Path] = {}
    others = []
    for folder in folders:
        check_exists(folder)
        found = list(_walk(folder)) if folder.is_dir() else []
        others += [folder] * (not found)
        for kind, path in found:
            (studies if kind == "study" else runs).setdefault(path.resolve(), path)
    paths = [path for path in runs.values() if _may_be_of_images(path)]
    if not studies and not paths:
        raise UserError(f"{first_few(folders)}: no study and no run on images in there")
    anchors: set[str] = {RUNS}
    entries = tuple(_entry(folder, anchors) for folder in studies.values())
    tables = tuple(_run_tables(read_runs(paths, may_be_none=bool(studies))))
    note_skipped(others, "no study and no run")
    return Page(title, entries, tables)


def _may_be_of_images(run: Path) -> bool:
    """Whether a run is on images, or cannot be read, which its reader will say."""
    try:
        return kind_of(run) == Config.kind
    except UserError:
        return True


def _walk(folder: Path, in_study: bool = False) -> Iterator[tuple[str, Path]]:
    """("study" or "run", its folder) in `folder` and below, in the order of the names."""
    if (folder / STUDY).is_file():
        in_study = True
        yield "study", folder
    elif is_run(folder):
        if not in_study:
            yield "run", folder
        return
    for below in subfolders(folder):
        yield from _walk(below, in_study)


def _entry(folder: Path, taken: set[str]) -> Entry:
    """A study with its figures, under an anchor that is not `taken`, which is added there."""
    study = read_study(folder)
    base = re.sub(r"[^a-z0-9]+", "-", study.name.lower()).strip("-") or "study"
    anchor, number = base, 1
    while anchor in taken:
        number += 1
        anchor = f"{base}-{number}"
    taken.add(anchor)
    return Entry(anchor, study, tuple(_figure_file(folder, figure) for figure in study.figures))


def _figure_file(folder: Path, figure: Figure) -> FigureFile:
    path = folder / figure.file
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: not readable ({error.strerror})") from error
    if not content.startswith(b"\x89PNG\r\n\x1a\n") or len(content) < 24:
        raise UserError(f"{path}: not a PNG")
    return FigureFile(figure, path, content)


def _run_tables(runs: Sequence[EvaluatedRun]) -> Iterator[Table]:
    """A table of results for each set of images and number of classes, as comparisons need."""
    groups = defaultdict(list)
    for run in runs:
        groups[run.stored.data, run.stored.config.way].append(run)
    for group in groups.values():
        settings = settings_of(group, SettingFilter(splits=["test"])) or settings_of(group)
        table = leaderboard(group, settings)
        # Only the last part of the path: a page that is published names no folders of a machine.
        images = Path(group[0].stored.config.data_dir).name
        yield table._replace(title=f"{images}: {table.title[0].lower()}{table.title[1:]}")


def facts(study: Study) -> dict[str, str]:
    """Listed with its commands: how long it took, and on what machine."""
    time = "time of training or measuring, without evaluation"
    return {time: duration(study.seconds), **study.environment}


def duration(seconds: float) -> str:
    """A time in words, of two units at most."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    if seconds < 599.5:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    parts = (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "")
    return " ".join(part for part in parts if part)
