"""A report as Markdown, with its figures where the studies have them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from supervised_reptile.report.page import Entry, Page, Picture, facts
from supervised_reptile.report.prose import plain
from supervised_reptile.tables import Table


def markdown_page(page: Page, out: Path) -> str:
    """The page as it is to lie in the folder `out`: figures are linked from there."""
    sections = [
        f"# {_safe(page.title)}",
        "\n".join(f"- [{_safe(title)}](#{anchor})" for anchor, title in page.contents),
        *(part for entry in page.entries for part in _study(entry, out)),
    ]
    if page.runs:
        sections += [_heading(*page.contents[-1]), *(_table(table) for table in page.runs)]
    return "\n\n".join(sections) + "\n"


def _heading(anchor: str, title: str) -> str:
    return f'<a id="{anchor}"></a>\n\n## {_safe(title)}'


def _study(entry: Entry, out: Path) -> Iterator[str]:
    study = entry.study
    yield _heading(entry.anchor, study.title)
    yield _safe(study.text.strip())
    for picture in entry.pictures:
        yield _picture(picture, out)
    for table in study.tables:
        yield _table(table, study.caveat)
    yield "### How it was measured"
    yield _fenced("\n".join(study.commands))
    yield _safe("\n".join(f"- {name}: {value}" for name, value in facts(study).items()))


def _table(table: Table, caveat: str = "") -> str:
    """The table, with lines of notes as lines of their own and the caveat below."""
    note = "\n\n".join(part for part in (*table.note.splitlines(), caveat) if part)
    rows = tuple(tuple(map(_safe, row)) for row in table.rows)
    # First the texts, then the table: its line breaks are HTML.
    return Table(_safe(table.title), tuple(map(_safe, table.columns)), rows, _safe(note)).markdown()


def _picture(picture: Picture, out: Path) -> str:
    title, caption = picture.figure.title, picture.figure.caption
    link = quote(Path(os.path.relpath(picture.path, out)).as_posix())
    alt = re.sub(r"([\[\]\\<`*])", r"\\\1", plain(title))
    return f"![{alt}]({link})\n\n{_safe(f'**{title}** {caption}'.rstrip())}"


def _safe(text: str) -> str:
    """Markdown in which nothing but text is taken for HTML; code is left as it is."""
    return re.sub(r"(`+)[^`]+\1|<(?=[A-Za-z/!?])", lambda m: m[0] if m[1] else "\\<", text)


def _fenced(text: str) -> str:
    """Text in a fence that is longer than any in it."""
    longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}bash\n{text}\n{fence}"
