"""`reptile report`: one page of Markdown and one of HTML."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from command_line import Outcome, assert_refused, call, tree
from markdown_it import MarkdownIt
from PIL import Image
from stored_runs import some_answers, write_result, write_run

from supervised_reptile.analysis.report.page import duration
from supervised_reptile.analysis.study import Figure, Study, write_study
from supervised_reptile.analysis.tables import Table
from supervised_reptile.cli.main import reptile

CAVEAT = "One seed, a tenth of the paper's training."
TABLE = Table("Accuracy in %", ("what", "here"), (("g1", "20.0 ± 0.1"), ("g2 | g3", "95.0 ± 0.2")))
STUDY = Study(
    name="gradients",
    title="Which gradients matter",
    text="What was **found**:\n\n- `g1` does not learn",
    commands=("reptile reproduce gradients --out DIR", "reptile plot DIR/*"),
    seconds=4000.0,
    environment={"processor": "Some processor, 2 cores", "tensorflow": "2.21.0"},
    tables=(TABLE, TABLE._replace(title="Another", note="A note.")),
    figures=(Figure("The curves", "the curves.png", "One for each."),),
    caveat=CAVEAT,
)
NAMES = (
    "w*x*y", "_a_", "[x](y)", "![x](y)", "<b>", "a|b", "`a`", "``", "#1", "&amp;", "~a~~b~~",
    "1. a", "- a", "**a**", "a\\*b\\", "<https://a.b>", "<!--", "$a$",
    "name-" * 40,
)  # fmt: skip
HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>"


def report(*arguments: object) -> Outcome:
    return call("report", *arguments, command=reptile)


def put_study(folder: Path, study: Study = STUDY) -> Path:
    """Write a study and its pictures."""
    folder.mkdir(parents=True)
    for figure in study.figures:
        Image.new("RGB", (40, 30), "orange").save(folder / figure.file)
    write_study(folder, study)
    return folder


class Document(HTMLParser):
    """What an HTML page consists of; checks that elements are closed in order."""

    VOID = ("meta", "img", "br")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.cells: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.words.append(data)
        if self._open and self._open[-1] == "td":
            self.cells.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def html_of(out: Path) -> Document:
    return Document((out / "report.html").read_text(encoding="utf8"))


def markdown_of(out: Path) -> Document:
    """The Markdown page as GitHub shows it."""
    github = MarkdownIt("commonmark", {"html": True, "xhtmlOut": False}).enable(
        ["table", "strikethrough"]
    )
    return Document(github.render((out / "report.md").read_text(encoding="utf8")))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two studies, one with a run of its own, and two runs beside them."""
    folder = tmp_path / "results"
    put_study(folder / "gradients")
    put_study(folder / "deeper" / "sine", Study("sine", "Sine waves", "Text.", ("x",), 3.0, {}))
    write_run(folder / "gradients" / "own-run")
    write_result(write_run(folder / "one"), {"transductive_test": some_answers(0)})
    write_run(folder / "unfinished", sgd=True)
    return folder


@pytest.fixture
def pages(results: Path, tmp_path: Path) -> tuple[str, Document]:
    """Both pages of `results`."""
    out = tmp_path / "out"
    outcome = report(results, "--out", out)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == f"wrote {out / 'report.md'}\nwrote {out / 'report.html'}\n"
    return (out / "report.md").read_text(encoding="utf8"), html_of(out)


def test_both_pages_have_everything(pages: tuple[str, Document]) -> None:
    markdown, page = pages
    said = [
        "Which gradients matter", "does not learn", "The curves", "One for each.",
        "Accuracy in %", "20.0 ± 0.1", "Another", "A note.", "1 h 7 min",
        "reptile reproduce gradients --out DIR", "Some processor, 2 cores", "2.21.0",
        "Sine waves", "3.0 s", "Other runs", "one", "unfinished", "--sgd", "5-shot",
    ]  # fmt: skip
    for words in said:
        assert words in markdown
        assert words in page.text
    assert "own-run" not in markdown + page.text
    assert "g2 \\| g3" in markdown
    assert "g2 | g3" in page.text


def test_the_caveat_is_with_every_table(pages: tuple[str, Document]) -> None:
    markdown, page = pages
    assert markdown.count(CAVEAT) == len(STUDY.tables)
    assert page.text.count(CAVEAT) == len(STUDY.tables)
    first, second = markdown.split("**Another**")
    assert CAVEAT in first
    assert CAVEAT in second


def test_the_contents_lead_to_the_sections(pages: tuple[str, Document]) -> None:
    markdown, page = pages
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(identifiers)) == len(identifiers)
    links = [a["href"] for a in page.all("a")]
    assert links == ["#sine", "#gradients", "#other-runs"]  # in the order of the folders
    assert {link[1:] for link in links} <= set(identifiers)
    assert re.findall(r"\]\(#(.*?)\)", markdown) == re.findall(r'<a id="(.*?)">', markdown)
    assert len(page.all("h1")) == 1


def test_a_report_of_one_section_has_no_contents(tmp_path: Path) -> None:
    put_study(tmp_path / "gradients")
    assert report(tmp_path, "--out", tmp_path / "out").code == 0
    assert not html_of(tmp_path / "out").all("nav")
    assert not [a for a in markdown_of(tmp_path / "out").all("a") if "href" in a]


def test_the_html_page_needs_nothing_else(pages: tuple[str, Document]) -> None:
    _, page = pages
    names = {name for name, _ in page.elements}
    assert not names & {"script", "link", "iframe", "object", "embed"}
    for _, attributes in page.elements:
        assert attributes.get("src", "data:").startswith("data:")
        assert not any(name.startswith("on") for name in attributes)
    (policy,) = (m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert policy.startswith("default-src 'none'")
    assert any(m.get("name") == "viewport" for m in page.all("meta"))


def test_figures_are_inside_with_a_text_instead(pages: tuple[str, Document]) -> None:
    (image,) = pages[1].all("img")
    assert image["src"].startswith("data:image/png;base64,iVBOR")
    assert (image["width"], image["height"]) == ("40", "30")
    assert image["alt"] == "The curves"


def test_markdown_links_the_figures_where_they_lie(
    pages: tuple[str, Document], tmp_path: Path
) -> None:
    ((alt, link),) = re.findall(r"!\[(.*?)\]\((.*?)\)", pages[0])
    assert alt == "The curves"
    assert (tmp_path / "out" / unquote(link)).read_bytes().startswith(b"\x89PNG")
    assert str(tmp_path) not in pages[0]


def test_the_same_results_give_the_same_pages(results: Path, tmp_path: Path) -> None:
    before = tree(results)
    for name in ("a", "b"):
        assert report(results, results / "gradients", "--out", tmp_path / name).code == 0
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert sorted(tree(tmp_path / "a")) == ["report.html", "report.md"]
    assert tree(results) == before
    markdown = (tmp_path / "a" / "report.md").read_text()
    assert markdown.count("## Which gradients matter") == 1  # given twice, shown once


def test_the_pages_have_the_name_that_is_asked_for(results: Path, tmp_path: Path) -> None:
    report(results, "--out", tmp_path, "--title", "Same")
    report(results, "--out", tmp_path, "--title", "Same", "--name", "october")
    for kind in ("md", "html"):
        assert (tmp_path / f"october.{kind}").read_bytes() == (
            tmp_path / f"report.{kind}"
        ).read_bytes()
    assert_refused(report(results, "--name", "a/b"), "--name", "a/b", code=2)


def test_studies_of_one_name_have_their_own_anchors(tmp_path: Path) -> None:
    for i, name in enumerate(["Gra dients!", "gra-dients", "other runs", "…"]):
        put_study(tmp_path / "in" / f"{i}", Study(name, f"Title {i}", "", (), 0.0, {}))
    assert report(tmp_path / "in", "--out", tmp_path / "out").code == 0
    page = html_of(tmp_path / "out")
    anchors = [s["id"] for s in page.all("section")]
    assert anchors == ["gra-dients", "gra-dients-2", "other-runs-2", "study"]


def test_nothing_in_a_study_is_taken_for_html(tmp_path: Path) -> None:
    h = HOSTILE
    study = Study(
        "x", h, f"{h}\n\n- {h}\n\n`{h}`", (h,), 1.0, {h: h},
        (Table(h, (h, "n"), ((h, "1"),), h),), (Figure(h, "x.png", h),), h,
    )  # fmt: skip
    put_study(tmp_path / "in/x", study)
    put_study(tmp_path / "in/y")  # a second section, so that there are contents
    assert report(tmp_path / "in", "--out", tmp_path / "out", "--title", h).code == 0
    page, markdown = html_of(tmp_path / "out"), markdown_of(tmp_path / "out")
    assert page.text.count(h) == 17  # everywhere but the alternative text
    assert markdown.text.count(h) == 16  # it has no <title>
    for document in (page, markdown):
        assert not document.all("script")
        assert len(document.all("img")) == 2
    assert page.all("img")[0]["alt"] == h


@pytest.mark.parametrize("shown", [html_of, markdown_of])
def test_names_are_text(shown: Callable[[Path], Document], tmp_path: Path) -> None:
    for name in NAMES:
        if "/" not in name:
            write_result(
                write_run(tmp_path / "in" / name, data_dir="/w*x*y"),
                {"transductive_test": some_answers(0)},
                outer_steps=7,  # named in the note, too
            )
    rows = tuple((name, "1.00") for name in NAMES)
    study = Study("s", "#1 *s*", "", (), 0.0, {"*": "1. _a_"}, (Table("_a_", ("*x*", "n"), rows),))
    put_study(tmp_path / "in" / "study", study)
    assert report(tmp_path / "in", "--out", tmp_path / "out", "--title", "**t** #").code == 0
    document = shown(tmp_path / "out")
    text = document.text
    for name in NAMES:
        assert name in document.cells
        assert "/" in name or f"{name} was evaluated before its training ended" in text
    assert "w*x*y: accuracy in %" in text
    assert "1. _a_" in text
    assert text.count("#1 *s*") == 2
    assert "**t** #" in text
    assert not {"em", "s", "b"} & {tag for tag, _ in document.elements}
    assert {a["href"] for a in document.all("a") if "href" in a} == {"#s", "#other-runs"}


def test_a_studys_text_is_markdown(pages: tuple[str, Document]) -> None:
    found = [tag for tag, _ in pages[1].elements if tag in ("strong", "code", "li")]
    assert found[3:6] == ["strong", "li", "code"]  # after three items of the contents


def test_wide_tables_fit_on_paper(tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser or not shutil.which("pdftotext"):
        pytest.skip("needs a browser and pdftotext")
    columns = ("run", *(f"--flag-number-{i}" for i in range(20)), "last\nsetting")
    row = ("n" * 300, *("0.0001" for _ in range(20)), "98.76 ± 1.23")
    study = dataclasses.replace(STUDY, tables=(Table("x" * 300, columns, (row,)),))
    put_study(tmp_path / "in", study)
    assert report(tmp_path / "in", "--out", tmp_path).code == 0
    subprocess.run(
        [browser, "--headless", "--no-sandbox", "--no-pdf-header-footer",
         f"--user-data-dir={tmp_path / 'browser'}",
         f"--print-to-pdf={tmp_path / 'page.pdf'}", (tmp_path / "report.html").as_uri()],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    boxes = ["pdftotext", "-bbox", tmp_path / "page.pdf", "-"]
    printed = subprocess.run(boxes, check=True, capture_output=True, text=True).stdout
    width = float(re.findall(r'<page width="(.*?)"', printed)[0])
    words = re.findall(r'xMax="(.*?)" yMax=".*?">(.*?)</word>', printed)
    assert {"98.76", "1.23", "--flag-number-19", "0.0001"} <= {word for _, word in words}
    assert max(float(right) for right, _ in words) < width - 40  # 15 mm are the margin


def test_headings_of_several_lines_stay_so(tmp_path: Path) -> None:
    table = TABLE._replace(columns=("what\n<b>", "here"))
    put_study(tmp_path / "study", dataclasses.replace(STUDY, tables=(table,)))
    assert report(tmp_path / "study", "--out", tmp_path / "out").code == 0
    assert "| what<br>\\<b> | here |" in (tmp_path / "out" / "report.md").read_text()


def test_commands_with_backticks_stay_in_their_fence(tmp_path: Path) -> None:
    put_study(tmp_path / "in", Study("x", "X", "", ("echo ```", "echo `date`"), 1.0, {}))
    assert report(tmp_path / "in", "--out", tmp_path / "out").code == 0
    markdown = (tmp_path / "out" / "report.md").read_text()
    assert "````bash\necho ```\necho `date`\n````\n" in markdown


def test_runs_on_other_images_have_their_own_table(tmp_path: Path) -> None:
    for name, data, way in (("a", "1", 5), ("b", "1", 5), ("c", "2", 5), ("d", "2", 20)):
        run = write_run(tmp_path / "in" / name, data=data, data_dir=f"/secret/d{data}", way=way)
        write_result(run, {"transductive_test": some_answers(0)})
    assert report(tmp_path / "in", "--out", tmp_path / "out").code == 0
    markdown = (tmp_path / "out" / "report.md").read_text()
    assert markdown.count("| run |") == 3
    assert "secret" not in markdown
    assert '<a id="other-runs"></a>\n\n## Runs\n' in markdown


def test_a_trained_run_is_reported(finished: Path, tmp_path: Path) -> None:
    assert report(finished, "--out", tmp_path / "out").code == 0
    assert "| finished |" in (tmp_path / "out" / "report.md").read_text()


def test_a_run_on_waves_without_its_study_is_left_out(results: Path, tmp_path: Path) -> None:
    """It is under way, or was interrupted."""
    file = write_run(tmp_path / "all" / "regression") / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "kind": "sine waves"}))
    out = tmp_path / "out"
    assert_refused(report(tmp_path / "all", "--out", out), "no study and no run on images")
    results.rename(tmp_path / "all" / "results")
    outcome = report(tmp_path / "all", "--out", out)
    assert outcome.code == 0, outcome.err
    page = (out / "report.md").read_text()
    assert "unfinished" in page
    assert "regression" not in page


def test_a_title_that_is_not_utf8(results: Path, tmp_path: Path) -> None:
    outcome = call("report", results, "--out", tmp_path, "--title", "\udcff", command=reptile)
    assert outcome.code == 0, outcome.err
    assert "\\udcff" in (tmp_path / "report.md").read_text(encoding="utf8")
    assert_refused(call("report", results, "--name", "", command=reptile), "--name", code=2)


def test_a_link_to_itself_is_no_results(results: Path, tmp_path: Path) -> None:
    (results / "itself").symlink_to("itself")
    assert report(results, "--out", tmp_path / "new").code == 0


def test_what_holds_nothing_is_skipped(results: Path, tmp_path: Path) -> None:
    """As in `reptile report runs/*`."""
    (results / "notes.txt").touch()
    (results / "empty").mkdir()
    (results / "unfinished" / "config.json").write_text("")
    out = tmp_path / "out"
    outcome = report(*sorted(results.iterdir()), "--out", out)
    assert outcome.code == 0
    damaged, nothing = outcome.err.splitlines()
    assert damaged.startswith(f"Note: skipped {results / 'unfinished' / 'config.json'}: not a")
    assert nothing == (
        f"Note: skipped, no study and no run in it: {results / 'empty'}, {results / 'notes.txt'}"
    )
    page = (out / "report.md").read_text()
    assert "| one |" in page
    assert "| unfinished |" not in page
    assert report(results / "gradients", results / "unfinished", "--out", out).code == 0
    assert_refused(report(results / "unfinished", "--out", out), "not a readable configuration")


def test_what_cannot_be_reported_is_named(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "empty").mkdir()
    assert_refused(report(tmp_path / "empty", "--out", out), str(tmp_path / "empty"), "no study")
    assert_refused(report(tmp_path / "no", "--out", out), str(tmp_path / "no"), "no such folder")
    assert_refused(report(), "DIR", code=2)
    (results / "one" / "config.json").rename(tmp_path / "config.json")
    outcome = report(results / "one", "--out", out)
    assert_refused(outcome, str(results / "one"), "config.json is missing")
    (tmp_path / "config.json").rename(results / "one" / "config.json")
    picture = results / "gradients" / "the curves.png"
    picture.write_bytes(b"GIF89a")
    assert_refused(report(results, "--out", out), str(picture), "not a PNG")
    picture.unlink()
    assert_refused(report(results, "--out", out), str(picture), "not readable")
    (results / "gradients" / "study.json").write_text("{}")
    assert_refused(report(results, "--out", out), "study.json", "not readable")
    shutil.rmtree(results / "gradients")
    assert not out.exists()
    out.write_text("a file")
    assert_refused(report(results, "--out", out), str(out), "cannot write there")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"), (3.04, "3.0 s"), (59.4, "59 s"), (59.6, "1 min"), (61, "1 min 1 s"),
        (600, "10 min"), (3569, "59 min"), (3599, "1 h"), (8000, "2 h 13 min"),
    ],
)  # fmt: skip
def test_times_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
