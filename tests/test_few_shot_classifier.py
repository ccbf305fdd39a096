"""FewShotClassifier behaves as scikit-learn's estimators do, and classifies as evaluation does."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small_problem as small
from PIL import Image
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler
from sklearn.utils.validation import check_is_fitted
from small_problem import small_snapshot

from supervised_reptile import FewShotClassifier, few_shot_classifier
from supervised_reptile.errors import UserError
from supervised_reptile.snapshot import write_npz

IMAGES = small.small_images()[:21]  # three classes of seven
RATE, STEPS = 0.3, 30  # enough to tell the three apart
LABELS = np.repeat(["zebra", "ant", "mole"], 7)


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
    "values", [[7, -2, 30], [True, False, None], ["é", "a", "ß"], [0.5, 0.25, 2.0]]
)
def test_labels_are_of_any_type(classifier: FewShotClassifier, values: list) -> None:
    values = [value for value in values if value is not None]
    images, labels = IMAGES[: 7 * len(values)], np.repeat(values, 7)
    classifier.fit(images, labels)
    predicted = classifier.predict(images)
    assert predicted.dtype == labels.dtype
    np.testing.assert_array_equal(predicted, labels)
    np.testing.assert_array_equal(classifier.fit(images, labels.tolist()).classes_, sorted(values))


def test_any_form_of_an_array_is_the_same(classifier: FewShotClassifier) -> None:
    whole = classifier.fit(IMAGES, LABELS).predict_proba(IMAGES[:4])
    for form in (
        lambda images: images[:, :, :, 0],
        lambda images: images.reshape(len(images), -1),
        lambda images: images.astype(np.float32) / 255,
        lambda images: images.astype(np.float64) / 255,
        lambda images: images.tolist(),
        lambda images: images.astype(np.int64),
        lambda images: [Image.fromarray(image[:, :, 0]) for image in images],
    ):
        again = classifier.fit(form(IMAGES), LABELS).predict_proba(form(IMAGES[:4]))
        np.testing.assert_allclose(again, whole, atol=1e-5)


def test_whole_numbers_up_to_1_are_black_and_white(classifier: FewShotClassifier) -> None:
    bits = (IMAGES > 127).astype(np.uint8)
    once = classifier.fit(bits, LABELS).predict_proba(bits)
    np.testing.assert_array_equal(
        classifier.fit(bits.astype(float), LABELS).predict_proba(bits.astype(float)), once
    )
    np.testing.assert_array_equal(classifier.fit(bits > 0, LABELS).predict_proba(bits > 0), once)
    with pytest.raises(ValueError, match="0 to 1"):
        classifier.fit(bits, LABELS).predict_proba(IMAGES)


def test_files_are_read(classifier: FewShotClassifier, tmp_path: Path) -> None:
    files = []
    for i, image in enumerate(IMAGES):
        files.append(tmp_path / f"{i}.png")
        Image.fromarray(image[:, :, 0]).save(files[-1])
    whole = classifier.fit(IMAGES, LABELS).predict_proba(IMAGES[:4])
    again = classifier.fit(files, LABELS).predict_proba([str(file) for file in files[:4]])
    np.testing.assert_array_equal(again, whole)
    files[3].write_text("no picture")
    with pytest.raises(UserError, match=r"3\.png"):
        classifier.fit(files, LABELS)


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
    copy = clone(classifier)
    assert copy.get_params() == classifier.get_params()
    with pytest.raises(NotFittedError):
        check_is_fitted(copy)
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
    copy = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(copy.predict_proba(IMAGES), before)


def test_what_makes_no_sense_is_refused(classifier: FewShotClassifier) -> None:
    with pytest.raises(few_shot_classifier.NotFittedError, match="fit first"):
        classifier.predict(IMAGES)
    for images, labels, words in (
        (IMAGES[:, :5], LABELS, r"shape \(21, 5, 8, 1\).*\(n, 8, 8, 1\)"),
        (IMAGES[0], LABELS, "shape"),
        (IMAGES, LABELS[:5], "21 images and 5 labels"),
        (IMAGES, LABELS[:, None], "one for each image"),
        (IMAGES[:0], LABELS[:0], "one for each image"),
        (IMAGES.astype(float), LABELS, "0 to 1"),
        (IMAGES.astype(float) * np.nan, LABELS, "0 to 1"),
        (IMAGES.astype(int) - 100, LABELS, "0 to 255"),
        (IMAGES, np.arange(21), "21 classes, .* tell 3 apart"),
    ):
        with pytest.raises(ValueError, match=words):
            classifier.fit(images, labels)
    for steps in (-1, 2.5):
        with pytest.raises(ValueError, match="steps"):
            classifier.set_params(steps=steps).fit(IMAGES, LABELS)
    with pytest.raises(UserError, match="nowhere"):
        FewShotClassifier.load("nowhere")
    classifier.set_params(steps=1).fit(IMAGES, LABELS)
    assert classifier.predict_proba(IMAGES[:0]).shape == (0, 3)


def test_images_that_show_nothing_are_told(classifier: FewShotClassifier, tmp_path: Path) -> None:
    images = IMAGES.copy()
    images[4], images[9] = 3, 255
    with pytest.raises(ValueError, match=r"2 of 21 .* show nothing: image 4, image 9"):
        classifier.fit(images, LABELS)
    classifier.set_params(steps=1).fit(IMAGES, LABELS)
    with pytest.warns(UserWarning, match=r"2 of 21 pictures show nothing: image 4"):
        assert classifier.predict(images).shape == (21,)
    Image.new("L", (9, 9)).save(tmp_path / "a.png")
    with pytest.warns(UserWarning, match=r"1 of 1 pictures shows nothing: .*a\.png"):
        classifier.predict_proba([str(tmp_path / "a.png")])
    with pytest.raises(ValueError, match=r"shows nothing: .*a\.png"):
        classifier.fit([tmp_path / "a.png"], ["a"])


def test_a_score_takes_one_label_for_each_image(classifier: FewShotClassifier) -> None:
    classifier.set_params(steps=1).fit(IMAGES, LABELS)
    for labels in (LABELS[:1], LABELS[:, None], LABELS[:5], LABELS[0]):
        with pytest.raises(ValueError, match="one for each of the 21 images"):
            classifier.score(IMAGES, labels)


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
