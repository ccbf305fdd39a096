"""Tables in a terminal and in Markdown."""

from __future__ import annotations

from supervised_reptile.reproduce.study import Table as StudysTable
from supervised_reptile.tables import Table

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


def test_numbers_are_told_from_words() -> None:
    for cell in ("1", "-0.5", "+1.20 ± 0.30", "1e-05", "12,000", "<0.0001", "-", "?", "± 1.90"):
        assert Table("", ("a",), ((cell,),)).is_numeric(0), cell
    for cell in ("adam", "5-way", "0.1 and more", ""):
        assert not Table("", ("a",), ((cell,),)).is_numeric(0), cell
    assert not Table("", ("a",), ()).is_numeric(0)


def test_a_table_without_rows_is_its_heading() -> None:
    assert Table("", ("a", "b c"), ()).text() == "   b\na  c\n-  -"


def test_studies_have_the_same_tables() -> None:
    assert StudysTable is Table
