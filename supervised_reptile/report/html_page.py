"""A report as one HTML file that needs no other: figures inside, nothing is fetched."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from html import escape

from supervised_reptile.report.page import Entry, Page, Picture, facts
from supervised_reptile.report.prose import html_of, inline, plain
from supervised_reptile.report.style import STYLE
from supervised_reptile.tables import Table

# Not even a mistake of ours can make a browser fetch something.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def html_page(page: Page) -> str:
    """The whole document."""
    links = "\n".join(
        f'<li><a href="#{anchor}">{inline(title)}</a></li>' for anchor, title in page.contents
    )
    sections = [_section(e.anchor, e.study.title, _study(e)) for e in page.entries]
    if page.runs:
        sections.append(_section(*page.contents[-1], map(_table, page.runs)))
    body = "\n".join(sections)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(plain(page.title))}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{inline(page.title)}</h1>
<nav aria-labelledby="contents">
<h2 id="contents">Contents</h2>
<ol>
{links}
</ol>
</nav>
{body}
</main>
</body>
</html>
"""


def _section(anchor: str, title: str, parts: Iterator[str]) -> str:
    content = "\n".join(parts)
    return f'<section id="{anchor}">\n<h2>{inline(title)}</h2>\n{content}\n</section>'


def _study(entry: Entry) -> Iterator[str]:
    study = entry.study
    yield html_of(study.text)
    yield from map(_picture, entry.pictures)
    for table in study.tables:
        yield _table(table, study.caveat)
    yield "<h3>How it was measured</h3>"
    yield f"<pre>{escape(chr(10).join(study.commands))}</pre>"
    described = facts(study).items()
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(v)}</dd>\n" for name, v in described)
    yield f"<dl>\n{rows}</dl>"


def _picture(picture: Picture) -> str:
    title, caption = picture.figure.title, picture.figure.caption
    width, height = picture.size
    data = base64.b64encode(picture.content).decode("ascii")
    words = f"<strong>{inline(title)}</strong> {inline(caption)}".rstrip()
    return (
        f'<figure>\n<img width="{width}" height="{height}" alt="{escape(plain(title))}" '
        f'src="data:image/png;base64,{data}">\n<figcaption>{words}</figcaption>\n</figure>'
    )


def _table(table: Table, caveat: str = "") -> str:
    heading = "".join(_cell("th", table, i, text) for i, text in enumerate(table.columns))
    rows = "\n".join(
        f"<tr>{''.join(_cell('td', table, i, text) for i, text in enumerate(row))}</tr>"
        for row in table.rows
    )
    notes = "".join(f'\n<p class="note">{inline(n)}</p>' for n in table.note.splitlines() if n)
    warning = f'\n<p class="caveat">{inline(caveat)}</p>' if caveat else ""
    # The title stands beside what scrolls: a table may be wider than the screen.
    return (
        f'<figure>\n<figcaption class="title">{inline(table.title)}</figcaption>\n'
        f'<div class="scroll" tabindex="0">\n<table>\n<thead>\n<tr>{heading}</tr>\n</thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table>\n</div>{notes}{warning}\n</figure>"
    )


def _cell(tag: str, table: Table, column: int, text: str) -> str:
    """A cell; single words and lines that are broken already stay whole, hyphens or not."""
    kinds = {"number": table.is_numeric(column), "whole": "\n" in text or " " not in text}
    classes = " ".join(name for name, applies in kinds.items() if applies)
    scope = ' scope="col"' if tag == "th" else ""
    mark = f' class="{classes}"' if classes else ""
    return f"<{tag}{scope}{mark}>{inline(text).replace(chr(10), '<br>')}</{tag}>"
