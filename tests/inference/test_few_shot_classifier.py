"""FewShotClassifier behaves as scikit-learn's estimators do, and classifies as evaluation does."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from copy import copy, deepcopy
from datetime import date
from decimal import Decimal
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_problem as small
import tensorflow as tf
from PIL import Image, ImageSequence
from scipy.sparse import csr_array, csr_matrix
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler
from sklearn.utils.validation import check_is_fitted
from small_problem import small_snapshot

from supervised_reptile import FewShotClassifier
from supervised_reptile.errors import UserError
from supervised_reptile.inference import few_shot_classifier
from supervised_reptile.runs.snapshot import write_npz

IMAGES = small.small_images()[:21]  # three classes of seven
FLOATS = (IMAGES / 255).astype(np.float32)
RATE, STEPS = 0.3, 30  # enough to distinguish the three
LABELS = np.repeat(["zebra", "ant", "mole"], 7)


class Colour(IntEnum):
    RED = 2
    BLUE = 1


class HasArray:
    """What tensors of other libraries are to NumPy."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __array__(self, dtype: object = None, copy: bool | None = None) -> np.ndarray:
        return self._array


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small problem's weights as a file."""
    path = tmp_path_factory.mktemp("weights") / "small.npz"
    write_npz(path, small_snapshot(inner_rate=RATE))
    return path


@pytest.fixture
def classifier(weights: Path) -> FewShotClassifier:
    return FewShotClassifier.load(weights, steps=STEPS)


def test_it_learns_classes_from_examples(classifier: FewShotClassifier) -> None:
    assert classifier.fit(IMAGES[::2], LABELS[::2]) is classifier
    assert classifier.classes_.tolist() == ["ant", "mole", "zebra"]
    probabilities = classifier.predict_proba(IMAGES[1::2])
    assert probabilities.shape == (10, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert classifier.score(IMAGES[1::2], LABELS[1::2]) == 1
    named = classifier.classes_[probabilities.argmax(axis=1)]
    np.testing.assert_array_equal(classifier.predict(IMAGES[1::2]), named)


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        ([7, -2, 30], [-2, 7, 30]),
        ([True, False], [False, True]),
        (["é", "a", "ß"], ["a", "ß", "é"]),
        ([0.5, 0.25, 2.0], [0.25, 0.5, 2.0]),
        ([(1, "b"), (0, "c"), (1, "a")], [(0, "c"), (1, "a"), (1, "b")]),
        ([2, "1", 1], [2, "1", 1]),  # cannot be sorted
        ([(1, 2), (), None], [(), (1, 2)]),
        ([b"\xff", "a", None], [b"\xff", "a"]),
        (["a\0", "a", "b"], ["a", "a\0", "b"]),  # NumPy would drop the NUL
        ([2**53 + 1, 2**53, 0.5], [0.5, 2**53, 2**53 + 1]),  # as floats two would be one
        ([True, 0, 2], [0, True, 2]),
        ([True, 1, 2.0], [True, 2.0]),  # equal, and named as it comes first
        ([date(2020, 2, 1), date(2020, 1, 1), date(2019, 1, 1)], None),
        ([frozenset("a"), frozenset("b"), frozenset("c")], [*map(frozenset, "abc")]),
        ([Colour.RED, Colour.BLUE, None], [Colour.BLUE, Colour.RED]),
    ],
)
def test_labels_stay_what_they_are(
    classifier: FewShotClassifier, values: list, classes: list | None
) -> None:
    labels = [value for value in values if value is not None for _ in range(7)]
    images = IMAGES[: len(labels)]
    for form in (list, tuple, iter, objects):
        classifier.fit(images, form(labels))
        wanted = sorted(values) if classes is None else classes
        assert classifier.classes_.tolist() == wanted
        kinds = [type(label) for label in classifier.classes_.tolist()]
        assert kinds == [type(label) for label in wanted]
        assert classifier.predict(images).tolist() == labels
        assert classifier.score(images, form(labels)) == 1
    for other in (pickle.loads(pickle.dumps(classifier)), deepcopy(classifier)):
        assert other.predict(images).tolist() == labels


def objects(items: list) -> np.ndarray:
    array = np.empty(len(items), object)
    for i, item in enumerate(items):
        array[i] = item
    return array


def test_labels_in_any_form(classifier: FewShotClassifier) -> None:
    pandas = pytest.importorskip("pandas")
    series, numbers = pandas.Series(LABELS, index=range(50, 71)), np.repeat([3, 1, 2], 7)
    dataset = tf.data.Dataset.from_tensor_slices(numbers)
    for labels, classes in (
        (series, ["ant", "mole", "zebra"]),
        (series.astype("category"), ["ant", "mole", "zebra"]),
        (pandas.Categorical(LABELS), ["ant", "mole", "zebra"]),
        (map(str, LABELS), ["ant", "mole", "zebra"]),
        (dict(enumerate(LABELS)).values(), ["ant", "mole", "zebra"]),
        (pandas.array(numbers, dtype="Int64"), [1, 2, 3]),
        (tf.constant(numbers), [1, 2, 3]),
        ([tf.constant(number) for number in numbers], [1, 2, 3]),
        (dataset, [1, 2, 3]),
        (dataset.batch(4), [1, 2, 3]),
        (pandas.MultiIndex.from_tuples(list(zip(numbers, LABELS, strict=True))), None),
    ):
        classifier.fit(IMAGES, labels)
        wanted = [(1, "ant"), (2, "mole"), (3, "zebra")] if classes is None else classes
        assert classifier.classes_.tolist() == wanted
        found = classifier.predict(IMAGES)[::7].tolist()
        assert found == [wanted[i] for i in (2, 0, 1)]


def test_missing_labels_are_refused(classifier: FewShotClassifier) -> None:
    pandas = pytest.importorskip("pandas")
    for missing in (
        None, np.nan, float("nan"), np.float32("nan"), Decimal("nan"), Decimal("snan"),
        np.datetime64("NaT"), pandas.NA, pandas.NaT, (1, np.nan),
    ):  # fmt: skip
        labels = ["a"] * 4 + [missing] * 17
        for form in (list, iter, objects):
            with pytest.raises(ValueError, match="label 4 is missing"):
                classifier.fit(IMAGES, form(labels))
    for labels in (
        np.array([1.0] * 4 + [np.nan] * 17),
        np.array(["2020"] * 4 + ["NaT"] * 17, "M8[D]"),
        pandas.array([1] * 4 + [None] * 17, dtype="Int64"),
        pandas.Series(["a"] * 4 + [None] * 17),
        pandas.Categorical(["a"] * 4 + [None] * 17),
    ):
        with pytest.raises(ValueError, match="label 4 is missing"):
            classifier.fit(IMAGES, labels)
    with pytest.raises(ValueError, match=r"labels are partly masked: .* missing"):
        classifier.fit(IMAGES, np.ma.array(np.arange(21), mask=np.arange(21) == 4))


def test_labels_that_are_none_are_refused(classifier: FewShotClassifier) -> None:
    pandas = pytest.importorskip("pandas")
    for labels, words in (
        ("a" * 21, "labels: a single str"),
        (b"a" * 21, "labels: a single bytes"),
        (3, "labels: a single int"),
        (None, "labels: None was given"),
        (set("abc"), "labels: a set, which has no order, was given"),
        ({"a": 1}, "labels: a dict"),
        (pandas.DataFrame({"a": LABELS}), "labels: a DataFrame"),
        ([["a"]] * 21, "hashable.*list"),
        ([(1, [2])] * 21, "hashable.*list"),
    ):
        with pytest.raises(TypeError, match=words):
            classifier.fit(IMAGES, labels)
    for labels in (np.eye(3)[[0] * 21], list(np.eye(3)[[0] * 21])):
        with pytest.raises(ValueError, match=r"shape \(.*one"):
            classifier.fit(IMAGES, labels)


def test_any_form_of_an_array_is_the_same(classifier: FewShotClassifier) -> None:
    dataset = tf.data.Dataset.from_tensor_slices
    whole = classifier.fit(IMAGES, LABELS).predict_proba(IMAGES)
    for form in (
        lambda images: images[:, :, :, 0],
        lambda images: images.reshape(len(images), -1),
        lambda images: images.astype(np.float32) / 255,
        lambda images: images.astype(np.float64) / 255,
        lambda images: images.tolist(),
        lambda images: images.astype(np.int64),
        lambda images: images.astype(object),
        lambda images: np.ma.array(images),
        lambda images: [Image.fromarray(image[:, :, 0]) for image in images],
        lambda images: iter(images),
        lambda images: (image for image in images),
        lambda images: dict(enumerate(images)).values(),
        lambda images: deque(images),
        lambda images: objects([*images]),
        lambda images: [images[:4], images[4:]],
        lambda images: tf.constant(images),
        lambda images: tf.Variable(images),
        lambda images: [tf.constant(image) for image in images],
        lambda images: [HasArray(image) for image in images],
        lambda images: HasArray(images),
        lambda images: dataset(images),
        lambda images: iter(dataset(images)),
        lambda images: dataset(images).batch(4),
        lambda images: dataset(images[:, :, :, 0]).batch(4),
        lambda images: dataset(images).batch(4).as_numpy_iterator(),
    ):
        again = classifier.fit(form(IMAGES), LABELS).predict_proba(form(IMAGES))
        np.testing.assert_allclose(again, whole, atol=1e-5)
        assert classifier.score(form(IMAGES), LABELS) == 1
    coarse = tf.cast(FLOATS, tf.bfloat16)  # no type of NumPy's own
    np.testing.assert_allclose(classifier.predict_proba(coarse), whole, atol=0.1)


def test_whole_numbers_up_to_1_are_black_and_white(classifier: FewShotClassifier) -> None:
    bits = (IMAGES > 127).astype(np.uint8)
    once = classifier.fit(bits, LABELS).predict_proba(bits)
    np.testing.assert_array_equal(
        classifier.fit(bits.astype(float), LABELS).predict_proba(bits.astype(float)), once
    )
    np.testing.assert_array_equal(classifier.fit(bits > 0, LABELS).predict_proba(bits > 0), once)
    classifier.fit(np.where(np.arange(21)[:, None, None, None] % 2, bits, 255 * bits), LABELS)
    for images in (bits, 255 * bits, [*bits[:9], *255 * bits[9:]]):  # each image by itself
        np.testing.assert_array_equal(classifier.predict_proba(images), once)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """The images as files, in a folder of their own."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    paths = [folder / f"{i:02}.png" for i in range(len(IMAGES))]
    for path, image in zip(paths, IMAGES, strict=True):
        Image.fromarray(image[:, :, 0]).save(path)
    return paths


def test_files_are_read(classifier: FewShotClassifier, files: list[Path]) -> None:
    whole = classifier.fit(IMAGES, LABELS).predict_proba(IMAGES)
    names = [str(file) for file in files]
    first, *others = map(Image.open, files)
    first.save(frames := files[0].parent / "frames.tif", save_all=True, append_images=others)
    for form in (
        lambda: files,
        lambda: iter(files),
        lambda: map(str, files),
        lambda: (file for file in files),
        lambda: dict.fromkeys(files).keys(),
        lambda: dict(enumerate(files)).values(),
        lambda: np.array(names),
        lambda: np.array(files, object),
        lambda: [name.encode() for name in names],
        lambda: [file.read_bytes() for file in files],
        lambda: map(io.BytesIO, [file.read_bytes() for file in files]),
        lambda: map(Image.open, files),
        lambda: tf.constant(names),
        lambda: tf.data.Dataset.list_files(names, shuffle=False),
        lambda: tf.data.Dataset.list_files(names, shuffle=False).map(tf.io.read_file),
        lambda: tf.data.Dataset.list_files(names, shuffle=False).batch(4),
        lambda: closed_at_once(files, Image.open),
        lambda: closed_at_once(files, io.FileIO),
        lambda: ImageSequence.Iterator(Image.open(frames)),
    ):
        again = classifier.fit(form(), LABELS).predict_proba(form())
        np.testing.assert_array_equal(again, whole)
    pandas = pytest.importorskip("pandas")
    for form in (pandas.Series(files, index=range(50, 71)), pandas.Index(names)):
        np.testing.assert_array_equal(classifier.predict_proba(form), whole)


def closed_at_once(files: list[Path], opened: Callable[[Path], Any]) -> Iterator[Any]:
    """Each file, open until the next one is asked for."""
    for path in files:
        with opened(path) as file:
            yield file


def test_an_array_that_a_generator_fills_again_is_read_in_time(
    classifier: FewShotClassifier,
) -> None:
    def images() -> Iterator[np.ndarray]:
        buffer = np.empty_like(IMAGES[0])
        for image in IMAGES:
            buffer[:] = image
            yield buffer

    whole = classifier.fit(IMAGES, LABELS).predict_proba(IMAGES)
    np.testing.assert_array_equal(classifier.fit(images(), LABELS).predict_proba(images()), whole)


def test_a_folder_searched_by_glob_is_read_whole(
    classifier: FewShotClassifier, files: list[Path]
) -> None:
    classifier.fit(files, LABELS)
    order = list(files[0].parent.glob("*.png"))
    answers = classifier.predict(files[0].parent.glob("*.png"))
    assert dict(zip(order, answers, strict=True)) == dict(zip(files, LABELS, strict=True))
    with pytest.raises(ValueError, match="20 images and 21 labels"):
        classifier.fit((file for file in files[1:]), LABELS)


def test_files_that_cannot_be_read_are_named(
    classifier: FewShotClassifier, files: list[Path]
) -> None:
    cut = io.BytesIO(files[4].read_bytes()[:60])
    with pytest.raises(UserError, match=r"^image 1: it cannot be decoded \(.*truncated"):
        classifier.fit([files[0], Image.open(cut)], LABELS[:2])
    files[3].write_bytes(cut.getvalue())
    for broken in (files[3], str(files[3]), Image.open(files[3])):
        with pytest.raises(UserError, match=r"3\.png: it cannot be decoded"):
            classifier.fit([files[0], broken], LABELS[:2])
    with pytest.raises(ValueError, match="image 1 has no pixels"):
        classifier.fit([files[0], Image.new("L", (0, 5))], LABELS[:2])


def test_what_holds_no_images_is_refused_by_its_type(
    classifier: FewShotClassifier, files: list[Path]
) -> None:
    pandas, picture = pytest.importorskip("pandas"), Image.fromarray(IMAGES[0, :, :, 0])
    dataset, rows = tf.data.Dataset.from_tensor_slices, FLOATS.reshape(21, -1)
    classifier.fit(IMAGES, LABELS)
    for images, words in (
        ("zebra.png", "images: a single str was given where several"),
        (np.str_("zebra.png"), "images: a single str_"),
        (files[0], "images: a single (Posix|Windows)Path"),
        (picture, "images: a single Image"),
        (Image.open(files[0]), "images: a single PngImageFile"),
        (files[0].read_bytes(), "images: a single bytes"),
        (io.BytesIO(), "images: a single BytesIO"),
        (1.5, "images: a single float"),
        (np.array("zebra.png"), "a single value"),
        (None, "images: None was given"),
        (set(files), "images: a set, which has no order, was given"),
        ({"a": IMAGES}, "images: a dict was given"),
        (pandas.DataFrame(rows), "images: a DataFrame was given"),
        (csr_matrix(rows), "images: a csr_matrix was given"),
        (csr_array(rows), "images: a csr_array was given"),
        ([csr_array(rows)], "image 0: a csr_array"),
        (tf.sparse.from_dense(rows), "images: a SparseTensor was given"),
        (object(), "images: an object was given"),
        (np.array([files[:2]], str), "strings of the shape"),
        (rows + 0j, "complex"),
        ([files[0], None], "image 1: None was given"),
        ([IMAGES[0], None], "image 1: None was given"),
        ([object()], "image 0: an object"),
        ([files[:2]], "image 0: a list with a (Posix|Windows)Path"),
        ([(picture, 1)], "image 0: a tuple with an Image"),
        ([IMAGES[0], files[0]], "image 1 is a (Posix|Windows)Path and those before it are arrays"),
        ([files[0], files[1], IMAGES[0]], "image 2 is an ndarray and those before it are files"),
        (dataset({"a": FLOATS}), "images: a dataset of dict elements"),
        (dataset((FLOATS, LABELS)), r"images: a dataset of tuple elements .*map\(\)"),
    ):
        for method in (classifier.predict, lambda images: classifier.fit(images, LABELS)):
            with pytest.raises(TypeError, match=words):
                method(images)
    for images, words in (
        (
            [IMAGES[0], IMAGES[1], IMAGES[2, :5]],
            r"image 2 has the shape \(5, 8, 1\) and image 0 \(8",
        ),
        ([[[0, 1], [1]]], "image 0: a list with parts of different shapes"),
        (tf.ragged.constant([[1, 2], [3]]), "image 1 has the shape"),
        (dataset(FLOATS).repeat(), "dataset without an end"),
        ([IMAGES[0], FLOATS[1]], "image 0 goes up to .* give all in one type"),
        ([IMAGES[0] > 9, IMAGES[1]], "image 1 goes up to .* give all in one type"),
        (np.ma.array(FLOATS, mask=FLOATS > 0.5), "images are partly masked"),
        ([np.ma.array(FLOATS[0], mask=FLOATS[0] > 0.5)], "image 0 is partly masked"),
    ):
        with pytest.raises(ValueError, match=words):
            classifier.predict(images)


def test_parameters_matter(weights: Path) -> None:
    default = FewShotClassifier(weights).fit(IMAGES, LABELS).predict_proba(IMAGES)
    for parameters in ({"steps": 1}, {"transductive": True}):
        other = FewShotClassifier(weights, **parameters).fit(IMAGES, LABELS)
        assert np.abs(other.predict_proba(IMAGES) - default).max() > 1e-4  # rounding: 1e-6
    as_evaluated = small_snapshot().config.eval_steps
    same = FewShotClassifier(weights, steps=as_evaluated).fit(IMAGES, LABELS)
    np.testing.assert_array_equal(same.predict_proba(IMAGES), default)


def test_parameters_are_scikit_learns(weights: Path, classifier: FewShotClassifier) -> None:
    wanted = {"weights": weights, "steps": STEPS, "transductive": False}
    assert classifier.get_params() == wanted
    assert classifier.set_params(steps=3) is classifier
    assert classifier.steps == 3
    with pytest.raises(ValueError, match="shots"):
        classifier.set_params(shots=3)
    assert repr(FewShotClassifier()) == (
        "FewShotClassifier(weights='omniglot-5way', steps=None, transductive=False)"
    )
    classifier.fit(IMAGES, LABELS)
    fresh = clone(classifier)
    assert fresh.get_params() == classifier.get_params()
    with pytest.raises(NotFittedError):
        check_is_fitted(fresh)
    check_is_fitted(classifier)
    assert is_classifier(classifier)


def test_other_weights_are_opened(classifier: FewShotClassifier, tmp_path: Path) -> None:
    before = classifier.fit(IMAGES, LABELS).predict_proba(IMAGES)
    write_npz(tmp_path / "other.npz", small_snapshot(inner_rate=RATE, weight_decay=0.5))
    classifier.set_params(weights=tmp_path / "other.npz")
    np.testing.assert_array_equal(classifier.predict_proba(IMAGES), before)  # until the next fit
    after = classifier.fit(IMAGES, LABELS).predict_proba(IMAGES)
    assert np.abs(after - before).max() > 1e-3


def test_it_works_in_pipelines_and_searches(classifier: FewShotClassifier) -> None:
    rows, order = IMAGES.reshape(21, -1), np.random.default_rng(0).permutation(21)
    folds = StratifiedKFold(3)
    scaled = make_pipeline(MinMaxScaler(clip=True), classifier)
    assert scaled.fit(rows, LABELS).score(rows, LABELS) > 0.9
    inverted = make_pipeline(FunctionTransformer(lambda images: 255 - images), classifier)
    assert inverted.fit(IMAGES, LABELS).predict_proba(IMAGES).shape == (21, 3)
    assert inverted.classes_.tolist() == ["ant", "mole", "zebra"]
    scores = cross_val_score(scaled, rows[order], LABELS[order], cv=folds)
    assert scores.mean() > 0.8
    search = GridSearchCV(classifier, {"steps": [0, STEPS]}, cv=folds, scoring="neg_log_loss")
    search.fit(IMAGES[order], LABELS[order])
    assert search.best_params_ == {"steps": STEPS}


def test_it_can_be_pickled(classifier: FewShotClassifier) -> None:
    before = classifier.fit(IMAGES, LABELS).predict_proba(IMAGES)
    for other in (pickle.loads(pickle.dumps(classifier)), copy(classifier), deepcopy(classifier)):
        np.testing.assert_array_equal(other.predict_proba(IMAGES), before)


def test_what_makes_no_sense_is_refused(classifier: FewShotClassifier) -> None:
    with pytest.raises(few_shot_classifier.NotFittedError, match="fit first"):
        classifier.predict(IMAGES)
    for images, labels, words in (
        (IMAGES[:, :5], LABELS, r"shape \(21, 5, 8, 1\).*\(n, 8, 8, 1\)"),
        (IMAGES[0], LABELS, r"\(8, 8, 1\) of a single image"),
        (IMAGES[0, :, :, 0].tolist(), LABELS, r"\(8, 8\) of a single image"),
        (IMAGES, LABELS[:5], "21 images and 5 labels"),
        (IMAGES, LABELS[:, None], "one for each image"),
        (IMAGES[:0], LABELS[:0], "no images were given"),
        ([], [], "no images were given"),
        (IMAGES.astype(float), LABELS, "0 to 1"),
        (np.where(np.arange(21)[:, None, None, None] == 4, np.nan, FLOATS), LABELS, "4 has .* nan"),
        (FLOATS - 1, LABELS, "0 to 1"),
        (IMAGES.astype(int) - 100, LABELS, "0 to 255"),
        (IMAGES, np.arange(21), "21 classes, .* distinguish at most 3"),
    ):
        with pytest.raises(ValueError, match=words):
            classifier.fit(images, labels)
    for steps in (-1, 2.5, np.nan, np.inf, "3"):
        with pytest.raises(ValueError, match="steps"):
            classifier.set_params(steps=steps).fit(IMAGES, LABELS)
    with pytest.raises(UserError, match="nowhere"):
        FewShotClassifier.load("nowhere")
    with pytest.raises(UserError, match="is empty"):
        FewShotClassifier.load("")
    for weights in (None, 3):
        with pytest.raises(TypeError, match=f"weights is {weights}: a path"):
            FewShotClassifier.load(weights)


def test_an_archive_without_weights_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", a=IMAGES)
    with pytest.raises(
        UserError, match=r"mine\.npz: not readable weights \('metadata' is missing\)"
    ):
        FewShotClassifier.load(tmp_path / "mine.npz")
    np.save(tmp_path / "mine.npy", IMAGES)
    with pytest.raises(UserError, match=r"mine\.npy: not readable weights .*no \.npz archive"):
        FewShotClassifier.load(tmp_path / "mine.npy")


@pytest.mark.parametrize("labels", [LABELS, np.repeat([3, 1, 2], 7), [(1, "a"), "b", 2.5] * 7])
def test_of_no_images_there_are_no_answers(classifier: FewShotClassifier, labels: object) -> None:
    classifier.set_params(steps=1).fit(IMAGES, labels)
    for images in ([], IMAGES[:0], np.array([]), iter(()), tf.data.Dataset.from_tensor_slices([])):
        assert classifier.predict_proba(images).shape == (0, 3)
    empty = classifier.predict([])
    assert (empty.shape, empty.dtype) == ((0,), classifier.predict(IMAGES).dtype)
    with pytest.raises(ValueError, match="no images were given"):
        classifier.score([], [])


def test_images_that_show_nothing_are_told(classifier: FewShotClassifier, tmp_path: Path) -> None:
    images = IMAGES.copy()
    images[4], images[9] = 3, 255
    with pytest.raises(ValueError, match=r"2 of 21 .* show nothing: image 4, image 9"):
        classifier.fit(images, LABELS)
    classifier.set_params(steps=1).fit(IMAGES, LABELS)
    with pytest.warns(UserWarning, match=r"2 of 21 pictures show nothing: image 4"):
        assert classifier.predict(images).shape == (21,)
    Image.new("L", (9, 9)).save(tmp_path / "a.png")
    with pytest.warns(UserWarning, match=r"1 of 1 picture shows nothing: .*a\.png"):
        classifier.predict_proba([str(tmp_path / "a.png")])
    with pytest.raises(ValueError, match=r"shows nothing: .*a\.png"):
        classifier.fit([tmp_path / "a.png"], ["a"])


def test_stretched_levels_are_told(classifier: FewShotClassifier, tmp_path: Path) -> None:
    """Resizing is not; nor are the same pictures at full contrast."""
    files = [tmp_path / f"{i}.png" for i in range(3)]
    for i, file in enumerate(files):
        levels = np.zeros((16, 16), np.uint8)
        levels[4 * i : 4 * i + 6, 3:9] = 1
        Image.fromarray(levels).save(file)
    alpha = Image.new("LA", (16, 16), (255, 0))
    alpha.putpixel((3, 3), (255, 255))
    said = "2 of 3 pictures were stretched from low to full contrast"
    whole = [Image.open(file).point(lambda level: 255 * level) for file in files]
    with warnings.catch_warnings(action="error"):
        wanted = classifier.fit(whole, list("abc")).predict_proba(whole)
    with pytest.warns(UserWarning, match="stretched") as told:
        classifier.fit([whole[0], *files[1:]], list("abc"))
    assert [str(warning.message) for warning in told] == [said]
    with pytest.warns(UserWarning, match="stretched") as told:
        found = classifier.predict_proba([Image.open(file) for file in files[:2]] + [alpha])
    assert [str(warning.message) for warning in told] == [
        "1 of 3 pictures was read from the transparency alone, as nothing else shows a shape; "
        + said
    ]
    np.testing.assert_array_equal(found[:2], wanted[:2])


def test_a_score_takes_one_label_for_each_image(classifier: FewShotClassifier) -> None:
    classifier.fit(IMAGES, LABELS)
    assert classifier.score(iter(IMAGES), iter(LABELS)) == 1
    assert classifier.score(iter(IMAGES), (label for label in LABELS[::-1])) == 7 / 21
    for labels in (LABELS[:1], LABELS[:, None], LABELS[:5], [None] * 21):
        with pytest.raises(ValueError, match=r"one for each|label 0 is missing"):
            classifier.score(IMAGES, labels)
    with pytest.raises(TypeError, match="single str"):
        classifier.score(IMAGES, "ant")
    classifier.fit(IMAGES, np.repeat([1, 2, 3], 7))
    with pytest.warns(UserWarning, match="none of the labels is one of the classes, 1, 2, 3"):
        assert classifier.score(IMAGES, np.repeat(["1", "2", "3"], 7)) == 0


def test_an_error_before_fit_is_scikit_learns(classifier: FewShotClassifier) -> None:
    for method in (classifier.predict, classifier.predict_proba):
        with pytest.raises(NotFittedError) as caught:
            method(IMAGES)
        for error in (caught.value, pickle.loads(pickle.dumps(caught.value)), copy(caught.value)):
            assert isinstance(error, few_shot_classifier.NotFittedError)
            assert isinstance(error, NotFittedError | ValueError)
            assert isinstance(error, AttributeError)
            assert type(error).__name__ == "NotFittedError"
            assert "fit first" in str(error)


def test_one_class_is_certain(classifier: FewShotClassifier) -> None:
    classifier.fit(IMAGES[:7], ["only"] * 7)
    np.testing.assert_allclose(classifier.predict_proba(IMAGES), 1)


def test_importing_it_imports_nothing_heavy() -> None:
    program = (
        "import sys, supervised_reptile\n"
        "assert 'FewShotClassifier' in supervised_reptile.__all__\n"
        "assert 'numpy' not in sys.modules\n"
        "from supervised_reptile import FewShotClassifier\n"
        "FewShotClassifier().get_params()\n"
        "heavy = {'tensorflow', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_classifying_takes_no_scikit_learn(weights: Path) -> None:
    program = (
        "import sys; sys.modules['sklearn'] = None\n"
        "import numpy as np\n"
        "from supervised_reptile import FewShotClassifier\n"
        f"classifier = FewShotClassifier.load({str(weights)!r}, steps=1)\n"
        "images = np.random.default_rng(0).random((4, 8, 8))\n"
        "print(classifier.fit(images, list('abab')).predict_proba(images).shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "(4, 2)\n", done.stderr


FORKING = """
import multiprocessing, sys
import numpy as np
{before}
from supervised_reptile import FewShotClassifier

images = np.random.default_rng(0).random((4, 8, 8, 1)).astype(np.float32)

def answer(classifier):
    return (classifier if {fitted} else classifier.fit(images, list("abab"))).predict(images).size

if __name__ == "__main__":
    classifier = FewShotClassifier.load({weights!r}, steps=1)
    {prepare}
    with multiprocessing.get_context({method!r}).Pool(1) as pool:
        try:
            print(pool.apply_async(answer, [classifier]).get(100))
        except Exception as error:
            print(type(error).__name__, error)
"""
IMPORTED = "import tensorflow as tf"
RAN = "tf.function(lambda x: x @ x)(tf.ones([9, 9]))"
FITTED = "classifier.fit(images, list('abab'))"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks on this system")
@pytest.mark.parametrize(
    ("before", "prepare", "method", "works"),
    [
        ("", FITTED, "fork", False),
        (IMPORTED, RAN, "fork", False),  # by the caller's own use of TensorFlow
        (IMPORTED, "", "fork", True),
        pytest.param(IMPORTED, FITTED, "fork", False, marks=pytest.mark.soak),
        pytest.param("", "", "fork", True, marks=pytest.mark.soak),
        pytest.param("", FITTED, "spawn", True, marks=pytest.mark.soak),
    ],
)
def test_a_fork_is_refused_once_tensorflow_ran(
    weights: Path, tmp_path: Path, before: str, prepare: str, method: str, works: bool
) -> None:
    values = {"before": before, "prepare": prepare, "method": method, "weights": str(weights)}
    program = FORKING.format(fitted=prepare == FITTED, **values)
    (tmp_path / "program.py").write_text(program, encoding="utf8")
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    if works:
        assert done.stdout == "4\n", done.stderr
    else:
        assert done.stdout.startswith("UserError TensorFlow was used before"), done.stderr
        assert 'get_context("spawn")' in done.stdout
