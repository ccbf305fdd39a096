"""A report as one HTML file that needs no other: figures inside, nothing is fetched."""

from __future__ import annotations

import base64
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from supervised_reptile.analysis.report.page import Page, facts
from supervised_reptile.analysis.tables import NUMERIC, Table

MAX_WHOLE = 24  # characters of a number, or of a single word, that are never broken
MIN_BROKEN = 10  # characters of a line in other cells at least, as in style.css


def html_page(page: Page) -> str:
    """The whole document."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    markdown = MarkdownIt("commonmark", {"html": False}).disable("image")
    templates.filters |= {
        "base64": lambda content: base64.b64encode(content).decode("ascii"),
        "characters": _characters,
        "kinds": _kinds,
        "prose": lambda text: Markup(markdown.render(text)),
    }
    return templates.get_template("page.html.jinja").render(page=page, facts=facts)


def _kinds(table: Table, column: int, text: str) -> str:
    """A cell's classes: numbers are aligned; they, single words and broken lines stay whole."""
    kinds = {"number": table.is_numeric(column), "whole": _is_whole(text)}
    return " ".join(name for name, applies in kinds.items() if applies)


def _is_whole(text: str) -> bool:
    fixed = NUMERIC.fullmatch(text) or "\n" in text or " " not in text
    return bool(fixed) and max(map(len, text.splitlines()), default=0) <= MAX_WHOLE


def _characters(table: Table) -> int:
    """How narrow the table can be, in characters."""
    columns = zip(table.columns, *table.rows, strict=True)
    return sum(max(map(_narrowest, column)) + 2 for column in columns)


def _narrowest(text: str) -> int:
    return max(map(len, text.splitlines()), default=0) if _is_whole(text) else MIN_BROKEN
