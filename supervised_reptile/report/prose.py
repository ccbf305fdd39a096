"""Prose: the little Markdown that studies are written in, as HTML with everything escaped.

Paragraphs, headings, lists, **bold**, *emphasis*, `code` and [links](https://...). All else is
text.
"""

from __future__ import annotations

import html
import re
from typing import NamedTuple

_INLINE = re.compile(
    r"`(?P<code>[^`]+)`"
    r"|\*\*(?P<strong>\S|\S.*?\S)\*\*"
    r"|\*(?P<em>[^\s*]|[^\s*][^*]*?[^\s*])\*"
    r"|\[(?P<text>[^\]]+)\]\((?P<link>https?://[^\s()]+)\)"
)
_ITEM = re.compile(r"\s*(?:(?P<bullet>[-*+])|(?P<number>\d+)[.)])\s+(?P<text>.*)")
_HEADING = re.compile(r"#{1,6}\s+(?P<text>.*?)\s*#*")
_TAG = re.compile(r"<[^>]*>")


class Block(NamedTuple):
    """A paragraph (p), a heading (h3), or an item of a list (ul or ol)."""

    kind: str
    text: str


def html_of(text: str) -> str:
    """Markdown of several paragraphs as HTML."""
    parts, current = [], ""
    for kind, content in _blocks(text):
        item = kind in ("ul", "ol")
        if current != kind:
            parts += [f"</{current}>"] * bool(current) + [f"<{kind}>"] * item
            current = kind if item else ""
        tag = "li" if item else kind
        parts.append(f"<{tag}>{inline(content)}</{tag}>")
    return "\n".join(parts + [f"</{current}>"] * bool(current))


def inline(text: str) -> str:
    """Markdown within a line as HTML."""
    parts, last = [], 0
    for match in _INLINE.finditer(text):
        parts += [html.escape(text[last : match.start()]), _marked(match)]
        last = match.end()
    return "".join([*parts, html.escape(text[last:])])


def plain(text: str) -> str:
    """Markdown within a line without its marks: for texts that only programs read aloud."""
    return html.unescape(_TAG.sub("", inline(text)))


def _marked(match: re.Match[str]) -> str:
    """One piece of marked text as HTML."""
    if code := match["code"]:
        return f"<code>{html.escape(code)}</code>"
    if link := match["link"]:
        return f'<a href="{html.escape(link)}">{inline(match["text"])}</a>'
    tag = "strong" if match["strong"] else "em"
    return f"<{tag}>{inline(match[tag])}</{tag}>"


def _blocks(text: str) -> list[Block]:
    """The text cut into paragraphs, headings and items, their lines joined."""
    blocks: list[Block] = []
    open_ = False  # whether the next line may continue the last block
    for line in text.splitlines():
        item, heading = _ITEM.fullmatch(line), _HEADING.fullmatch(line)
        in_paragraph = open_ and blocks[-1].kind == "p"
        if not line.strip():
            open_ = False
        elif heading:
            blocks.append(Block("h3", heading["text"]))
            open_ = False
        # As in Markdown: a line of prose may begin with a number.
        elif item and (item["bullet"] or item["number"] == "1" or not in_paragraph):
            blocks.append(Block("ul" if item["bullet"] else "ol", item["text"]))
            open_ = True
        elif open_:
            blocks[-1] = blocks[-1]._replace(text=f"{blocks[-1].text} {line.strip()}")
        else:
            blocks.append(Block("p", line.strip()))
            open_ = True
    return blocks
