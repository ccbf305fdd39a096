"""`reptile predict`: names pictures, given a few of each class."""

from __future__ import annotations

from pathlib import Path

import click

from supervised_reptile.cli.checkpoint_option import checkpoint_option
from supervised_reptile.config import Count
from supervised_reptile.system.path_type import Place

MOST_STEPS = 10_000  # minutes, in which nobody hears Ctrl-C
EPILOG = """\b
Examples:
  reptile predict --support letters --query unknown.png
  reptile predict --checkpoint runs/mine --support mushrooms --query photos --json
  reptile predict --support letters --query photos --contact-sheet seen.png
"""


@click.command(
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@checkpoint_option
@click.option(
    "--support",
    metavar="DIR",
    required=True,
    type=Place(path_type=Path),
    help="Holds a folder for each class, with a few pictures in each.",
)
@click.option(
    "--query",
    "queries",
    metavar="PATH...",
    required=True,
    multiple=True,
    type=Place(path_type=Path),
    help="Pictures to be named, or folders of them; may be given several times.",
)
@click.argument("more", metavar="", nargs=-1, type=Place("--query", path_type=Path))
@click.option(
    "--steps",
    type=Count(0, MOST_STEPS),
    help="Inner steps on the examples; by default as many as the weights were evaluated with.",
)
@click.option(
    "--transductive",
    is_flag=True,
    help="Look at all queries at once instead of one by one beside the examples.",
)
@click.option("--json", "form", flag_value="json", help="Print JSON: all probabilities.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV.")
@click.option(
    "--contact-sheet",
    metavar="OUT.png",
    type=Place(path_type=Path),
    help="Also draw examples and named queries, as the network sees them.",
)
def predict(
    checkpoint: str | None,
    support: Path,
    queries: tuple[Path, ...],
    more: tuple[Path, ...],
    steps: int | None,
    transductive: bool,
    form: str | None,
    contact_sheet: Path | None,
) -> None:
    """Adapt to a few pictures of each class, then name other pictures.

    Pictures may have any format that Pillow reads and any size. They are brought to the size that
    the weights were trained with, and for Omniglot's weights to dark strokes on light paper; a
    note says what was changed. Pictures that show nothing get no answer, and a note names them.

    --transductive: batch normalisation is computed over whatever pictures are looked at together.
    By default each query is looked at beside the examples only, so its answer depends on nothing
    else. With --transductive all queries share their statistics. That is the more accurate way
    (see the paper's table 1) where they are several and all classes are among them; then each
    answer depends on the other queries.

    \b
    --json prints a list of
      {"file": ..., "class": ..., "probability": ..., "probabilities": {CLASS: ..., ...}}
    with null for all but the file of a picture that shows nothing; there --csv has empty fields.
    """
    from supervised_reptile.inference import predict as work
    from supervised_reptile.inference.few_shot_classifier import FewShotClassifier
    from supervised_reptile.system.package_files import PRETRAINED

    found, notes = work.find_support(support)
    files, more_notes = work.find_queries([*queries, *more])
    classifier = FewShotClassifier.load(checkpoint or PRETRAINED[0], steps=steps,
                                        transductive=transductive)  # fmt: skip
    prediction = work.predict(classifier, found, files)
    if contact_sheet:
        from supervised_reptile.inference.prediction_sheet import write_prediction_sheet

        write_prediction_sheet(prediction, contact_sheet)
    for note in (*notes, *more_notes, *prediction.notes):
        click.echo(f"Note: {note}", err=True)
    forms = {"json": work.as_json, "csv": work.as_csv, None: work.as_table}
    click.echo(forms[form](prediction).rstrip("\n"))
