"""Table: rows of text, shown in a terminal or in Markdown."""

from __future__ import annotations

import re
import textwrap
from typing import NamedTuple

# Numbers, also with an interval or an exponent, and what stands where there is none.
NUMERIC = re.compile(r"[-+±< ]*\d[\d.,e+±* -]*|-|\?")
# What has a meaning in Markdown; an underscore within a word has none.
MARKS = re.compile(
    r"[\\`*\[\]|~$#]|(?<![^\W_])_|_(?![^\W_])|<(?=[A-Za-z/!?])|&(?=[A-Za-z#])"
    r"|^>|^[-+](?=\s)"
)
WIDTH = 100  # characters that notes in a terminal are wrapped to


class Table(NamedTuple):
    """A table as it is shown, every cell a text; without columns its title and note."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def markdown(self) -> str:
        """The table in Markdown, with its title above and the lines of its note below."""
        lines = [[markdown_text(text) for text in line] for line in (self.columns, *self.rows)]
        lines.insert(1, ["---"] * len(self.columns))
        grid = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        notes = [markdown_text(line) for line in self.note.splitlines() if line]
        grids = [grid] if self.columns else []
        return "\n\n".join((f"**{markdown_text(self.title)}**", *grids, *notes))

    def text(self) -> str:
        """The table for a terminal: aligned columns, headings broken at words where that helps."""
        note = "\n".join(_wrapped(line) for line in self.note.splitlines())
        grid = self._grid() if self.columns else ""
        return "\n\n".join(part for part in (self.title, grid, note) if part)

    def is_numeric(self, column: int) -> bool:
        """Whether a column holds numbers only, to be aligned on the right."""
        return bool(self.rows) and all(NUMERIC.fullmatch(row[column]) for row in self.rows)

    def _grid(self) -> str:
        headings = [self._heading(i) for i in range(len(self.columns))]
        height = max(map(len, headings))
        headings = [[""] * (height - len(lines)) + lines for lines in headings]
        lines = [*zip(*headings, strict=True), *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        lines.insert(height, tuple("-" * width for width in widths))
        adjust = [str.rjust if self.is_numeric(i) else str.ljust for i in range(len(widths))]
        return "\n".join(
            "  ".join(f(cell, n) for f, cell, n in zip(adjust, line, widths, strict=True)).rstrip()
            for line in lines
        )

    def _heading(self, column: int) -> list[str]:
        """A heading in lines: its own, or no longer than the column's cells and longest word."""
        text = self.columns[column]
        if "\n" in text:
            return text.splitlines()
        width = max(len(cell) for cell in (*text.split(), *(row[column] for row in self.rows), " "))
        return textwrap.wrap(text, width, break_on_hyphens=False)


def _wrapped(text: str) -> str:
    """In lines of WIDTH, broken at spaces: file names stay whole."""
    return textwrap.fill(text, WIDTH, break_on_hyphens=False, break_long_words=False)


def markdown_text(text: str) -> str:
    """Text as Markdown (GitHub's) that shows it, wherever in a document it stands."""
    text = MARKS.sub(r"\\\g<0>", text.strip())
    text = re.sub(r"^(\d+)([.)]\s)", r"\1\\\2", text)
    return re.sub(r"\r\n?|\n", "<br>", text)
