"""`reptile data ...`: everything about data sets on disk. Never imports TensorFlow."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from supervised_reptile.config import COUNT, MOST_PIXELS, Count
from supervised_reptile.errors import UserError, counted, one_line
from supervised_reptile.system.atomic_files import CannotWriteError
from supervised_reptile.system.path_type import Place


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def data() -> None:
    """Draw alphabets; import, verify and show data sets."""


@data.command("glyphs")
@click.option(
    "--out",
    type=Place(path_type=Path),
    default="data/glyphs",
    show_default=True,
    help="Directory to write, new or empty.",
)
@click.option(
    "--seed",
    type=Count(0, 2**64 - 1),
    default=0,
    show_default=True,
    help="Random seed; each seed invents other alphabets.",
)
@click.option("--alphabets", type=COUNT, default=40, show_default=True, help="Number of alphabets.")
@click.option(
    "--characters",
    type=COUNT,
    default=40,
    show_default=True,
    help="Number of characters per alphabet.",
)
@click.option(
    "--drawings",
    type=COUNT,
    default=20,
    show_default=True,
    help="Number of drawings per character, each by another drawer.",
)
@click.option("--overwrite", is_flag=True, help="Replace drawn alphabets in --out.")
def draw_glyphs(
    out: Path, seed: int, alphabets: int, characters: int, drawings: int, overwrite: bool
) -> None:
    """Draw invented alphabets in Omniglot's folder layout, for training without a download."""
    from supervised_reptile.data.glyphs.draw_alphabets import GlyphSet, write_glyphs

    write_glyphs(out, GlyphSet(seed, alphabets, characters, drawings), overwrite)
    drawn = counted(alphabets * characters, "character"), counted(drawings, "drawing")
    click.echo(f"{out}: {drawn[0]}, {drawn[1]} of each")


@data.command("import")
@click.argument("path", type=Place(path_type=Path))
@click.option(
    "--out",
    type=Place(path_type=Path),
    required=True,
    help="Store to write: one file with all images decoded.",
)
@click.option(
    "--image-size",
    type=Count(1, MOST_PIXELS),
    default=84,
    show_default=True,
    help="Height and width in pixels.",
)
@click.option("--skip-broken", is_flag=True, help="Leave broken images out instead of stopping.")
def import_data(path: Path, out: Path, image_size: int, skip_broken: bool) -> None:
    """Import Mini-ImageNet from any of its usual layouts into one store.

    \b
    PATH contains one of:
      train/, val/ and test/ with a folder of images for each class
      the same in one zip or tar, or in train.zip, val.zip and test.zip
      mini-imagenet-cache-train.pkl, -val.pkl (or -validation.pkl), -test.pkl
      miniImageNet_category_split_train_phase_train.pickle, _val.pickle, _test.pickle
      train.csv, val.csv and test.csv beside images/
      the same CSVs beside ILSVRC2012_img_train.tar
    """
    from supervised_reptile.data.miniimagenet import import_miniimagenet
    from supervised_reptile.data.summary import summary_lines

    store = import_miniimagenet(path, out, image_size, skip_broken)
    click.echo("\n".join(summary_lines(store)))
    click.echo(f"wrote {out}")


@data.command("verify")
@click.argument("path", type=Place(path_type=Path))
def verify_data(path: Path) -> None:
    """Check the data in PATH; the last line starts with complete, usable or broken.

    PATH is a store, raw Mini-ImageNet or Omniglot, or a folder of class folders. The exit status
    is 1 if the data are broken.
    """
    from supervised_reptile.data.verify import verify

    try:
        report = verify(path)
    except CannotWriteError:  # of the cache: nothing against the data
        raise
    except UserError as error:
        click.echo(f"broken: {one_line(str(error))}")
        sys.exit(1)
    click.echo("\n".join(report.lines()))
    if report.is_broken:
        sys.exit(1)


@data.command("info")
@click.argument("path", type=Place(path_type=Path))
@click.option(
    "--out",
    type=Place(path_type=Path),
    default="contact-sheet.png",
    show_default=True,
    help="Image file to write the contact sheet to.",
)
def show_data(path: Path, out: Path) -> None:
    """Summarise the data in PATH and draw a contact sheet with a few images of several classes."""
    from supervised_reptile.data.contact_sheet import write_contact_sheet
    from supervised_reptile.data.open_any import open_any
    from supervised_reptile.data.summary import summary_lines

    store = open_any(path)
    click.echo("\n".join(summary_lines(store)))
    write_contact_sheet(store, out)
    click.echo(f"wrote {out}")
