"""Tables in a terminal and in Markdown."""

from __future__ import annotations

import html

from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from supervised_reptile.analysis.tables import Table, markdown_text

TABLE = Table(
    "A title",
    ("name", "5-shot non-transductive test", "test\n300 episodes"),
    (("one", "9.50 ± 1.20", "a"), ("another", "61.50 ± 4.23 *", "b"), ("third", "-", "c")),
    "A note.",
)


def test_a_terminal_sees_aligned_columns() -> None:
    assert TABLE.text().splitlines() == [
        "A title",
        "",
        "                   5-shot",
        "         non-transductive  test",
        "name                 test  300 episodes",
        "-------  ----------------  ------------",
        "one           9.50 ± 1.20  a",
        "another    61.50 ± 4.23 *  b",
        "third                   -  c",
        "",
        "A note.",
    ]


def test_notes_are_wrapped() -> None:
    text = TABLE._replace(note="word " * 50 + "\nnext").text()
    assert max(map(len, text.splitlines())) <= 100
    assert text.endswith("\nnext")


def test_markdown_keeps_its_columns() -> None:
    table = Table("t", ("a|b", "c"), (("x|y", "two\nlines"),))
    assert table.markdown().splitlines()[2:] == [
        "| a\\|b | c |",
        "| --- | --- |",
        "| x\\|y | two<br>lines |",
    ]


@given(st.text(alphabet="ab<>&\"'\\`*_[]()#-+~$|!=1.: /:;", max_size=40))
@example("1. a")
@example("12. a")
@example("&amp;")
@example("__a__b")
def test_whatever_a_text_is_markdown_shows_it(text: str) -> None:
    github = MarkdownIt("commonmark", {"html": True, "xhtmlOut": False}).enable(
        ["table", "strikethrough"]
    )
    shown = " ".join(text.split())
    wanted = html.escape(shown, quote=False).replace('"', "&quot;")
    table = Table("t", (f"x{text}", "c"), ((text, "y"),)).markdown()
    assert " ".join(github.render(f"# {markdown_text(text)}").split()) == f"<h1>{wanted}</h1>"
    assert f"<td>{wanted}</td>" in " ".join(github.render(table).split())


def test_numbers_are_told_from_words() -> None:
    for cell in ("1", "-0.5", "+1.20 ± 0.30", "1e-05", "12,000", "<0.0001", "-", "?", "± 1.90"):
        assert Table("", ("a",), ((cell,),)).is_numeric(0), cell
    for cell in ("adam", "5-way", "0.1 and more", ""):
        assert not Table("", ("a",), ((cell,),)).is_numeric(0), cell
    assert not Table("", ("a",), ()).is_numeric(0)


def test_a_table_without_rows_is_its_heading() -> None:
    assert Table("", ("a", "b c"), ()).text() == "   b\na  c\n-  -"


def test_a_table_without_columns_is_its_title_and_note() -> None:
    empty = TABLE._replace(columns=(), rows=())
    assert empty.text() == "A title\n\nA note."
    assert empty.markdown() == "**A title**\n\nA note."
