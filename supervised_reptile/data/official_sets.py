"""What complete data sets look like, and how a store differs from them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import NamedTuple

from supervised_reptile.data.layouts.layout import SPLITS
from supervised_reptile.data.store import ImageStore
from supervised_reptile.errors import counted
from supervised_reptile.system.package_files import read_metadata

MINIIMAGENET, ALPHABETS, OWN = "Mini-ImageNet", "alphabets of characters", "own images"
MINIIMAGENET_IMAGES = 600  # of every class
OMNIGLOT_IMAGES = 20  # of every character
CHARACTER_NAME = re.compile(r"[^/]+/character\d+")


class Difference(NamedTuple):
    """One way in which a store is not the official data set."""

    summary: str
    classes: tuple[str, ...] = ()  # those it concerns


@cache
def miniimagenet_classes() -> Mapping[str, Mapping[str, str]]:
    """Split -> WordNet id -> readable name, as Ravi and Larochelle (2017) divided them."""
    return {split: _read_split(split) for split in SPLITS}


@cache
def miniimagenet_labels() -> frozenset[str]:
    """The WordNet ids of all 100 classes."""
    return frozenset(label for classes in miniimagenet_classes().values() for label in classes)


@cache
def omniglot_characters() -> frozenset[str]:
    """All 1,623, as "Greek/character01"."""
    rows = csv.DictReader(read_metadata("omniglot/alphabets.csv").splitlines())
    return frozenset(
        f"{row['alphabet']}/character{number + 1:02d}"
        for row in rows
        for number in range(int(row["characters"]))
    )


def readable_name(label: str) -> str:
    """The name of a Mini-ImageNet class; any other class is called what it is called."""
    for classes in miniimagenet_classes().values():
        if label in classes:
            return classes[label]
    return label


def kind_of(store: ImageStore) -> str:
    """MINIIMAGENET, ALPHABETS (Omniglot or drawn ones) or OWN, judged by the classes' names."""
    if not miniimagenet_labels().isdisjoint(store.names):
        return MINIIMAGENET
    return ALPHABETS if all(map(CHARACTER_NAME.fullmatch, store.names)) else OWN


def differences(store: ImageStore) -> tuple[Difference, ...]:
    """How the store differs from the official data set of its kind; () where it does not."""
    kind = kind_of(store)
    if kind == MINIIMAGENET:
        return (*_wrong_split(store), *_wrong_counts(store, MINIIMAGENET_IMAGES))
    if kind == ALPHABETS:
        return (*_wrong_alphabets(store), *_wrong_counts(store, OMNIGLOT_IMAGES))
    return (Difference("own images, with no official set to compare with"),)


def _wrong_split(store: ImageStore) -> Iterator[Difference]:
    for split, wanted in miniimagenet_classes().items():
        here = {store.names[number] for number in store.splits.get(split, ())}
        if missing := sorted(wanted.keys() - here):
            yield Difference(f"classes missing from {split}: {len(missing)}", tuple(missing))
        if outside := sorted(here - wanted.keys()):
            summary = f"classes in {split} outside the official split: {len(outside)}"
            yield Difference(summary, tuple(outside))


def _wrong_alphabets(store: ImageStore) -> Iterator[Difference]:
    """Against Omniglot's alphabets, unless all are others, as drawn ones are."""
    official, here = omniglot_characters(), set(store.names)
    alphabets, known = ({name.split("/")[0] for name in names} for names in (here, official))
    if here != official:
        yield Difference(
            f"{counted(len(here), 'character')} in {counted(len(alphabets), 'alphabet')}, "
            f"where Omniglot has {len(official):,} in {len(known)}"
        )
    if alphabets.isdisjoint(known):
        return
    if missing := sorted(known - alphabets):
        yield Difference(f"missing alphabets: {len(missing)}", tuple(missing))
    missing = sorted(name for name in official - here if name.split("/")[0] in alphabets)
    if missing:
        yield Difference(f"missing characters: {len(missing)}", tuple(missing))
    if others := sorted(here - official):
        yield Difference(f"characters that Omniglot does not have: {len(others)}", tuple(others))


def _wrong_counts(store: ImageStore, wanted: int) -> Iterator[Difference]:
    pairs = zip(store.names, store.counts, strict=True)
    if wrong := tuple(f"{name} ({count})" for name, count in pairs if count != wanted):
        yield Difference(f"classes that do not have {wanted} images: {len(wrong)}", wrong)


def _read_split(split: str) -> Mapping[str, str]:
    lines = read_metadata(f"miniimagenet/{split}.csv").splitlines()
    return {row["wnid"]: row["name"] for row in csv.DictReader(lines)}
