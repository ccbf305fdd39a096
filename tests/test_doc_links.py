"""README and docs/ hang together: links lead somewhere, and nothing is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from command_line import ROOT

from supervised_reptile.cli.main import reptile

PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def links(page: Path) -> list[tuple[Path, str]]:
    """Files and anchors that a page links to, those of the web left out."""
    text = CODE.sub("", page.read_text(encoding="utf8"))
    targets = [target for target in LINK.findall(text) if "://" not in target]
    split = [target.partition("#") for target in targets]
    return [((page.parent / file).resolve() if file else page, anchor) for file, _, anchor in split]


def anchors(page: Path) -> set[str]:
    """What can follow # in a link to a page: explicit names, and headings as GitHub writes them."""
    text = page.read_text(encoding="utf8")
    headings = re.findall(r"^#+ (.*)$", CODE.sub("", text), re.MULTILINE)
    names = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
    return {*names, *re.findall(r'<a id="([^"]+)">', text)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in links(page):
        assert target.exists(), target
        assert not anchor or anchor in anchors(target), f"{target} has no #{anchor}"


def test_every_page_is_reached_from_the_readme() -> None:
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        reached.add(page)
        ahead += {target for target, _ in links(page) if target.suffix == ".md"} - reached
    assert reached >= set(PAGES)


def commands(group: click.Group, name: str) -> Iterator[str]:
    """`reptile plot`, `reptile data verify`, ...: all that can be called."""
    for sub in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), sub)
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {sub}")
        else:
            yield f"{name} {sub}"


def test_every_command_is_mentioned() -> None:
    text = "\n".join(page.read_text(encoding="utf8") for page in PAGES)
    assert not [name for name in commands(reptile, "reptile") if name not in text]
