"""What `reptile predict` does: folders of examples in, a class for every query out."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from supervised_reptile.analysis.tables import Table
from supervised_reptile.data.import_layout import subfolders_note
from supervised_reptile.data.layouts.layout import left_out_note, passed_over, with_counts
from supervised_reptile.data.layouts.split_folders import ClassFolders, images_below
from supervised_reptile.errors import UserError, counted
from supervised_reptile.inference.few_shot_classifier import FewShotClassifier
from supervised_reptile.inference.pictures import blank_pictures, change_notes, read_pictures
from supervised_reptile.system.progress_bar import Bar

QUERIES_AT_ONCE = 16  # between two movements of the progress bar
NOTHING = "(shows nothing)"  # in the place of an answer
COLUMNS = ("file", "class", "probability")


@dataclass(frozen=True)
class Examples:
    """Pictures whose classes are known."""

    files: tuple[Path, ...]  # [n], class by class
    labels: tuple[str, ...]  # [n]

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, sorted."""
        return tuple(sorted(set(self.labels)))


@dataclass(frozen=True)
class Prediction:
    """Queries with the probabilities that they got, and all pictures as the network saw them."""

    support: Examples
    queries: tuple[Path, ...]  # [q]
    blank: np.ndarray  # bool [q]: queries that show nothing, and get no answer
    probabilities: np.ndarray  # float32 [q, classes], 0 for these
    support_pixels: np.ndarray  # float32 [n, height, width, channels], 0 ... 1
    query_pixels: np.ndarray  # float32 [q, height, width, channels]
    notes: tuple[str, ...]  # of what was changed in pictures, or left out

    @property
    def answers(self) -> list[tuple[str, float] | None]:
        """The most probable class of each query, with its probability; None: it shows nothing."""
        names = self.support.classes
        return [
            None if blank else (names[row.argmax()], float(row.max()))
            for blank, row in zip(self.blank, self.probabilities, strict=True)
        ]


def find_support(folder: Path) -> tuple[Examples, list[str]]:
    """The pictures below `folder`, which holds a folder for each class, and what to say of them.

    Raises:
      UserError: there are fewer than two classes, one without a picture, or splits of classes.
    """
    if not folder.is_dir():
        what = "not a folder" if folder.exists() else "no such folder"
        raise UserError(f"{folder}: {what}; name one that holds a folder for each class")
    layout = ClassFolders.undivided(folder)
    listing = layout.listing()
    if not listing.items and not listing.empty:
        raise UserError(
            f"{folder}: no class folders in it{passed_over(listing.left_out)}; "
            "put the pictures of each class into a folder"
        )
    if listing.empty:
        raise UserError(
            f"{layout.root / listing.empty[0]}: no pictures in it{passed_over(listing.left_out)}; "
            "add some, or remove the folder"
        )
    found = Examples(
        tuple(layout.root / item.key for item in listing.items),
        tuple(item.label for item in listing.items),
    )
    if len(found.classes) == 1:
        raise UserError(f"{folder}: only one class, {found.classes[0]}; at least two are needed")
    notes = _notes(folder, listing.left_out)
    by_class = groupby(listing.items, key=lambda item: item.label)
    if words := subfolders_note((label, [i.file for i in items]) for label, items in by_class):
        notes.append(f"{folder}: {words}")
    return found, notes


def find_queries(paths: Sequence[Path]) -> tuple[tuple[Path, ...], list[str]]:
    """The files that were named, and the pictures in and below named folders, each once.

    Also what to say of files that were left out.

    Raises:
      UserError: one does not exist, or is a folder without pictures.
    """
    found: list[Path] = []
    notes: list[str] = []
    for path in paths:
        if path.is_dir():
            pictures, left_out = images_below(path)
            if not pictures:
                raise UserError(f"{path}: no pictures in it{passed_over(left_out)}")
            found += pictures
            notes += _notes(path, left_out)
        elif path.exists():
            found.append(path)
        else:
            raise UserError(f"{path}: no such file")
    return tuple(dict.fromkeys(found)), notes


def _notes(folder: Path, left_out: Mapping[str, Sequence[str]]) -> list[str]:
    words = left_out_note(with_counts(left_out))
    return [f"{folder}: left out {words}"] if words else []


def predict(
    classifier: FewShotClassifier, support: Examples, queries: Sequence[Path]
) -> Prediction:
    """Adapt to the support, then name every query.

    Queries that show nothing are left out, so that others do not depend on them.

    Raises:
      UserError: a picture cannot be read, one of the support shows nothing, or the weights tell
        fewer classes apart.
    """
    classes, most = support.classes, classifier.most_classes
    if len(classes) > most:
        raise UserError(
            f"{counted(len(classes), 'class')}, but these weights distinguish at most "
            f"{most}: leave some out, or train with --classes {len(classes)}"
        )
    reader = classifier.reader
    pixels, changes = read_pictures([*support.files, *queries], reader)
    support_pixels, query_pixels = np.split(pixels, [len(support.files)])
    if blank := blank_pictures(support_pixels, support.files).note:
        raise UserError(f"{blank}; replace what is blank or too faint, or remove it")
    blank = blank_pictures(query_pixels, queries)
    probabilities = np.zeros((len(queries), len(classes)), np.float32)
    if not blank.rows.all():
        classifier.fit(support_pixels, support.labels)
        probabilities[~blank.rows] = _probabilities(classifier, query_pixels[~blank.rows])
    return Prediction(
        support,
        tuple(queries),
        blank.rows,
        probabilities,
        support_pixels,
        query_pixels,
        (*change_notes(changes, reader), *[blank.note] * bool(blank.note)),
    )


def _probabilities(classifier: FewShotClassifier, pixels: np.ndarray) -> np.ndarray:
    if classifier.transductive:  # they belong together
        return classifier.predict_proba(pixels)
    parts = []
    with Bar(total=len(pixels), desc="Predicting", leave=False) as bar:
        for start in range(0, len(pixels), QUERIES_AT_ONCE):
            parts.append(classifier.predict_proba(pixels[start : start + QUERIES_AT_ONCE]))
            bar.update(len(parts[-1]))
    return np.concatenate(parts)


def as_table(prediction: Prediction) -> str:
    """A line for each query, for people."""
    answers = zip(prediction.queries, prediction.answers, strict=True)
    rows = tuple(
        (str(file), answer[0], f"{100 * answer[1]:.1f}%") if answer else (str(file), NOTHING, "")
        for file, answer in answers
    )
    return Table("", COLUMNS, rows).text()


def as_csv(prediction: Prediction) -> str:
    """The same for spreadsheets; probabilities go from 0 to 1, and are empty without an answer."""
    text = io.StringIO()
    answers = zip(prediction.queries, prediction.answers, strict=True)
    rows = [
        (file, answer[0], f"{answer[1]:.6g}") if answer else (file, "", "")
        for file, answer in answers
    ]
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    return text.getvalue()


def as_json(prediction: Prediction) -> str:
    """The same for programs, with the probabilities of all classes; null without an answer."""
    classes = prediction.support.classes
    answers = zip(
        prediction.queries, prediction.answers, prediction.probabilities.tolist(), strict=True
    )
    entries = [
        {
            "file": str(file),
            "class": answer[0] if answer else None,
            "probability": answer[1] if answer else None,
            "probabilities": dict(zip(classes, row, strict=True)) if answer else None,
        }
        for file, answer, row in answers
    ]
    return json.dumps(entries, indent=1, ensure_ascii=False) + "\n"
