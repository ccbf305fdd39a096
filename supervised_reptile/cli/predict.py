"""`reptile predict`: classifies pictures, given a few examples of each class."""

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
    help="Directory with one folder per class, each with a few pictures.",
)
@click.option(
    "--query",
    "queries",
    metavar="PATH...",
    required=True,
    multiple=True,
    type=Place(path_type=Path),
    help="Pictures to classify, or folders of pictures; may be repeated.",
)
@click.argument("more", metavar="", nargs=-1, type=Place("--query", path_type=Path))
@click.option(
    "--steps",
    type=Count(0, MOST_STEPS),
    help="Number of inner steps; by default as in the evaluation of the weights.",
)
@click.option(
    "--transductive",
    is_flag=True,
    help="Classify all queries in one forward pass, so that they share batch statistics.",
)
@click.option("--json", "form", flag_value="json", help="Print JSON with all probabilities.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV.")
@click.option(
    "--contact-sheet",
    metavar="OUT.png",
    type=Place(path_type=Path),
    help="Also draw the examples and the classified queries as the network receives them.",
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
    """Adapt to a few pictures of each class, then classify other pictures.

    Pictures may have any size and any format that Pillow reads. They are resized to the size of
    the training images and, for Omniglot's weights, turned into dark strokes on light paper. Notes
    list these changes. Blank pictures are named in a note and not classified.

    By default each query is normalised together with the examples only, so its result does not
    depend on other queries. With --transductive all queries share batch statistics. That is more
    accurate (see the paper's table 1) if there are several queries of all classes, but each result
    then depends on the other queries.

    \b
    --json prints a list of
      {"file": ..., "class": ..., "probability": ..., "probabilities": {CLASS: ..., ...}}
    For a blank picture all but "file" is null; --csv then has empty fields.
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
