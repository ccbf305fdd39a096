"""`reptile report DIR...`: results as one page. Never imports TensorFlow."""

from __future__ import annotations

from pathlib import Path

import click

from supervised_reptile.analysis.report.html_page import html_page
from supervised_reptile.analysis.report.markdown_page import markdown_page
from supervised_reptile.analysis.report.page import gather
from supervised_reptile.system.atomic_files import replacing, writing
from supervised_reptile.system.path_type import Place

EPILOG = """\b
Examples:
  reptile report results
  reptile report runs/reproduce runs/sweep --out report --title "Reptile, October"
"""


@click.command(
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=Place(path_type=Path))
@click.option(
    "--out",
    type=Place(path_type=Path),
    default="report",
    show_default=True,
    help="Directory to write the pages to.",
)
@click.option(
    "--name",
    default="report",
    show_default=True,
    help="File name of the pages: NAME.md and NAME.html.",
)
@click.option("--title", default="Results", show_default=True, help="Title of the page.")
def report(folders: tuple[Path, ...], out: Path, name: str, title: str) -> None:
    """Write results to one page, as Markdown and as HTML.

    Every study of `reptile reproduce` in DIR or below it is shown with its tables and figures, the
    commands that repeat it, and the machine, versions and time that they took. Runs that belong to
    no study are listed in a table of accuracies. Damaged runs and other folders are skipped with a
    note.

    The HTML page is one self-contained file with the figures inside. The Markdown page links to
    the figures. The same results give the same pages.
    """
    if not name or Path(name).name != name:
        raise click.UsageError(f"--name {name!r}: a name without folders, for files in --out")
    page = gather(folders, title)
    for file, text in (
        (f"{name}.md", markdown_page(page, out)),
        (f"{name}.html", html_page(page)),
    ):
        with writing(out):
            out.mkdir(parents=True, exist_ok=True)
            with replacing(out / file) as temporary:
                # Names of files may be of bytes that are no text.
                temporary.write_text(text, encoding="utf8", errors="backslashreplace")
        click.echo(f"wrote {out / file}")
