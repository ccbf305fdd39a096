#!/usr/bin/env python3
"""Asks for known vulnerabilities of the installed packages, Python's and the page's.

The databases are on the network. Where one does not answer, that is said, and counts as failure:
nothing is known then.

    make audit
"""

from __future__ import annotations

import json
import subprocess
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from supervised_reptile.cli.main import run as run_program
from supervised_reptile.errors import UserError

WEB = Path(__file__).resolve().parents[1] / "web"


class Answer(NamedTuple):
    """What a database says."""

    vulnerabilities: list[str]  # a line each
    unknown: list[str]  # packages that it does not know


class Database(NamedTuple):
    """Who knows the vulnerabilities of some packages."""

    packages: str  # what people call them
    command: Sequence[str]  # prints a report in JSON
    read: Callable[[Any], Answer]  # of the report; raises ValueError where it says nothing


def read_python(report: Any) -> Answer:
    """What `pip-audit --format json` prints."""
    packages = report["dependencies"]
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    if len(unknown) == len(packages):  # as where an index is reached that is no database
        raise ValueError("it knows none of the packages")
    found = [
        f"{package['name']} {package['version']}: {known['id']}, "
        f"fixed in {', '.join(known['fix_versions']) or 'no version'}"
        for package in packages
        for known in package.get("vulns", ())
    ]
    return Answer(found, unknown)


def read_page(report: Any) -> Answer:
    """What `npm audit --json` prints."""
    known = report["vulnerabilities"].items()
    return Answer([f"{name} {entry['range']}: {entry['severity']}" for name, entry in known], [])


def ask(database: Database) -> Answer:
    """What the database knows.

    Raises:
      UserError: it was not reached.
    """
    try:
        done = subprocess.run(database.command, cwd=WEB, capture_output=True, text=True)
    except OSError as error:
        raise UserError(f"{database.command[0]}: cannot be run ({error.strerror})") from error
    try:
        report = json.loads(done.stdout)
    except ValueError:
        report = {}
    try:
        return database.read(report)
    except (ValueError, KeyError) as error:
        said = done.stderr.strip().partition("\n")[0]
        reason = (said or "no answer") if isinstance(error, KeyError) else error
        raise UserError(
            f"{database.packages} were not audited: the network does not let "
            f"{Path(database.command[0]).name} reach its database ({reason})"
        ) from error


@click.command(help=__doc__)
@click.option("--pip-audit", required=True, type=click.Path(exists=True, path_type=Path))
def main(pip_audit: Path) -> None:
    installed = sysconfig.get_path("purelib")
    options = ("--path", installed, "--skip-editable", "--progress-spinner", "off")
    python = str(pip_audit.absolute()), *options, "--format", "json"
    problems = []
    for database in (
        Database("Python's packages", python, read_python),
        Database("the page's packages", ("npm", "audit", "--json"), read_page),
    ):
        try:
            found, unknown = ask(database)
        except UserError as error:
            problems.append(str(error))
            continue
        click.echo("\n".join([f"{database.packages}: {len(found)} known vulnerabilities", *found]))
        if unknown:
            click.echo(f"Not known to the database: {', '.join(unknown)}")
        problems += [f"{database.packages} have known vulnerabilities"] if found else []
    if problems:
        raise UserError("; ".join(problems))


if __name__ == "__main__":
    run_program(main)
