"""The little Markdown of studies as HTML."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervised_reptile.report.prose import html_of, inline, plain

TAGS = {"p", "h3", "ul", "ol", "li", "strong", "em", "code", "a"}

INLINE = {
    "a **bold** word": "a <strong>bold</strong> word",
    "`--algorithm foml` and `a < b`": "<code>--algorithm foml</code> and <code>a &lt; b</code>",
    "`**not bold**`": "<code>**not bold**</code>",
    "**bold `code` in it**": "<strong>bold <code>code</code> in it</strong>",
    "*stressed*": "<em>stressed</em>",
    "2 * 3 * 4 ** 5 ** 6": "2 * 3 * 4 ** 5 ** 6",
    "<b>&amp;</b>": "&lt;b&gt;&amp;amp;&lt;/b&gt;",
    "[the paper](https://arxiv.org/abs/1803.02999)": (
        '<a href="https://arxiv.org/abs/1803.02999">the paper</a>'
    ),
    "[a](javascript:alert(1))": "[a](javascript:alert(1))",
    '[a](https://x/"onclick="y)': '<a href="https://x/&quot;onclick=&quot;y">a</a>',
    "": "",
    "an ` alone, two ** alone": "an ` alone, two ** alone",
}


@pytest.mark.parametrize("text", INLINE)
def test_marks_within_a_line(text: str) -> None:
    assert inline(text) == INLINE[text]


BLOCKS = {
    "one\nparagraph\n\nanother": "<p>one paragraph</p>\n<p>another</p>",
    "- one\n- two\n  goes on\n\n- three": (
        "<ul>\n<li>one</li>\n<li>two goes on</li>\n<li>three</li>\n</ul>"
    ),
    "text:\n* one\n\nmore": "<p>text:</p>\n<ul>\n<li>one</li>\n</ul>\n<p>more</p>",
    "1. one\n2. two\n- other": (
        "<ol>\n<li>one</li>\n<li>two</li>\n</ol>\n<ul>\n<li>other</li>\n</ul>"
    ),
    "in the year\n1992. It was": "<p>in the year 1992. It was</p>",
    "**bold** first": "<p><strong>bold</strong> first</p>",
    "## A heading\ntext": "<h3>A heading</h3>\n<p>text</p>",
    "": "",
    "\n \n": "",
}


@pytest.mark.parametrize("text", BLOCKS)
def test_paragraphs_and_lists(text: str) -> None:
    assert html_of(text) == BLOCKS[text]


def test_what_is_read_aloud_has_no_marks() -> None:
    assert plain('**g1** & `a < b`, "so"') == 'g1 & a < b, "so"'


class Elements(HTMLParser):
    """Checks that elements are closed in order; collects their names and their text."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.words = ""
        self.feed(document)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.open.append(tag)
        self.names.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


@given(st.text(alphabet="ab<>&\"'`*_[]()#-1. \n/:hts", max_size=80))
def test_whatever_is_written_it_stays_text(text: str) -> None:
    elements = Elements(html_of(text))
    assert elements.names <= TAGS
    kept = {c: text.count(c) for c in "<>&\"'ab"}
    assert all(elements.words.count(c) <= count for c, count in kept.items())
    assert elements.words.count("<") == text.count("<") or "](https://" in text
