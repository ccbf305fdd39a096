"""Study: the readable results of one experiment, also for `reptile report`."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from supervised_reptile.analysis.tables import Table
from supervised_reptile.errors import UserError
from supervised_reptile.system.atomic_files import (
    read_json,
    reading,
    replacing,
    write_json,
    writing,
)

STUDY = "study.json"


class Figure(NamedTuple):
    """A figure next to study.json."""

    title: str
    file: str  # name of a PNG in the study's folder
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Study:
    """One experiment's outcome."""

    name: str  # as in `reptile reproduce NAME`
    title: str
    text: str  # Markdown: what was measured, and what it shows
    commands: tuple[str, ...]  # that repeat it
    seconds: float  # in training steps or measuring, over all sessions; without evaluation
    environment: Mapping[str, str]  # machines and versions, as in the module `environment`
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    caveat: str = ""  # in what it falls short of the paper's setting; shown with every table

    def show(self, folder: Path) -> None:
        """Print the tables, and where everything is."""
        for table in self.tables:
            click.echo(f"\n{table.text()}")
            if self.caveat:
                click.echo(f"\nNote: {self.caveat}.")
        pictures = ", ".join(figure.file for figure in self.figures)
        click.echo(f"\nIn {folder}: {STUDY}, {pictures}")


def write_study(folder: Path, study: Study) -> None:
    """Put `study` into `folder`/study.json, whose figures lie there."""
    content = dataclasses.asdict(study)
    content["tables"] = [table._asdict() for table in study.tables]
    content["figures"] = [figure._asdict() for figure in study.figures]
    with writing(folder):
        write_json(folder / STUDY, content)


def own_command(name: str, *flags: tuple[str, object, object]) -> str:
    """The command that repeats a study; flags: (flag, value, default), left out at its default."""
    given = (f" {flag} {value}" for flag, value, default in flags if value != default)
    return f"reptile reproduce {name} --out DIR{''.join(given)}"


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table for other programs."""
    with writing(path), replacing(path) as temporary, temporary.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def read_study(folder: Path) -> Study:
    """Read the result of `write_study`.

    Raises:
      UserError: `folder` holds no study, or it cannot be read.
    """
    if not (folder / STUDY).exists():
        raise UserError(f"{folder}: no study in it ({STUDY} is missing)")
    with reading(folder / STUDY, "restore it from a copy, or run the study's command again"):
        content: dict[str, Any] = read_json(folder / STUDY)
        content["tables"] = tuple(_table(**table) for table in content["tables"])
        content["figures"] = tuple(_figure(**figure) for figure in content["figures"])
        content["commands"] = tuple(content["commands"])
        return Study(**content)


def _figure(title: str, file: str, caption: str, crc32: str = "") -> Figure:
    """Older programs added a checksum."""
    return Figure(title, file, caption)


def _table(title: str, columns: list[str], rows: list[list[str]], note: str) -> Table:
    return Table(title, tuple(columns), tuple(map(tuple, rows)), note)
