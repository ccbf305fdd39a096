"""A report as Markdown, with its figures where the studies have them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from supervised_reptile.analysis.report.page import Entry, FigureFile, Page, facts
from supervised_reptile.analysis.tables import markdown_text


def markdown_page(page: Page, out: Path) -> str:
    """The page as it is to lie in the folder `out`: figures are linked from there."""
    links = [f"- [{markdown_text(title)}](#{anchor})" for anchor, title in page.contents]
    sections = [
        f"# {markdown_text(page.title)}",
        "\n".join(links) if len(links) > 1 else "",
        *(part for entry in page.entries for part in _study(entry, out)),
    ]
    if page.runs:
        sections += [_heading(*page.contents[-1]), *(table.markdown() for table in page.runs)]
    return "\n\n".join(section for section in sections if section) + "\n"


def _heading(anchor: str, title: str) -> str:
    return f'<a id="{anchor}"></a>\n\n## {markdown_text(title)}'


def _study(entry: Entry, out: Path) -> Iterator[str]:
    study = entry.study
    yield _heading(entry.anchor, study.title)
    yield _without_html(study.text.strip())
    for figure in entry.figures:
        yield _figure(figure, out)
    for table in study.tables:
        yield table.markdown()
        yield markdown_text(study.caveat)
    yield "### How it was measured"
    yield _fenced("\n".join(study.commands))
    described = facts(study).items()
    yield "\n".join(f"- {markdown_text(f'{name}: {value}')}" for name, value in described)


def _figure(file: FigureFile, out: Path) -> str:
    title, caption = map(markdown_text, (file.figure.title, file.figure.caption))
    link = quote(Path(os.path.relpath(file.path, out)).as_posix())
    return f"![{title}]({link})\n\n{f'**{title}** {caption}'.rstrip()}"


def _without_html(text: str) -> str:
    """Markdown in which nothing but text is taken for HTML; code is left as it is."""
    return re.sub(r"(`+)[^`]+\1|<(?=[A-Za-z/!?])", lambda m: m[0] if m[1] else "\\<", text)


def _fenced(text: str) -> str:
    """Text in a fence that is longer than any in it."""
    longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}bash\n{text}\n{fence}"
