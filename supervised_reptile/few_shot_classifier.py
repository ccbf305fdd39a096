"""FewShotClassifier: a trained initialization with the manners of a scikit-learn estimator.

Importing this imports neither TensorFlow nor scikit-learn; the first is imported by `fit`, the
second never.
"""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Sequence
from numbers import Number
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from supervised_reptile.export import open_snapshot
from supervised_reptile.pictures import Reader, blank_pictures, read_pictures
from supervised_reptile.runtime import start_tensorflow
from supervised_reptile.snapshot import fingerprint

if TYPE_CHECKING:
    from PIL import Image

    from supervised_reptile.few_shot_model import FewShotModel
    from supervised_reptile.snapshot import Snapshot

    Images = np.ndarray | Sequence[Path | str | Image.Image]

MODELS_KEPT = 4  # compiled ones, for classifiers that start from the same weights


class NotFittedError(ValueError, AttributeError):
    """`predict` before `fit`; as scikit-learn's error of that name."""


class FewShotClassifier:
    """Learns classes from a few images of each, by inner steps from a trained initialization.

        clf = FewShotClassifier.load("omniglot-5way")
        clf.fit(images, labels)
        clf.predict_proba(queries)

    Images are an array [n, height, width, channels] of the weights' size (channels may be left
    out where there is one; rows of all pixels [n, height * width * channels] do as well) or a
    sequence of files and Pillow images of any size. Arrays of floats go from 0 to 1, of integers
    from 0 to 255 or, where no value that `fit` gets is above 1, from 0 to 1. Omniglot's weights
    want dark drawings on light paper: in files and Pillow images that is seen to, in arrays not.

    Labels are of any type that NumPy can sort. There may be at most as many classes as the weights
    were trained to tell apart; `predict_proba` has a column for each of `classes_`.

    Attributes after `fit`:
      classes_: the labels, sorted, [classes].
    """

    _estimator_type = "classifier"

    def __init__(
        self,
        weights: str | Path = "omniglot-5way",
        steps: int | None = None,
        transductive: bool = False,
    ) -> None:
        """Remembers its parameters; `fit` opens the weights.

        Args:
          weights: a run directory, weights exported as npz, or the name of those that come along
            (a str: a Path of that name is a folder).
          steps: inner steps; None for as many as the weights were evaluated with.
          transductive: look at all queries of a call at once, so that they share their batch
            statistics: more accurate if they are many and their classes come equally often, but
            then the answer to one depends on the others. Else each is looked at by itself.
        """
        self.weights = weights
        self.steps = steps
        self.transductive = transductive

    @classmethod
    def load(cls, weights: str | Path = "omniglot-5way", **parameters: Any) -> FewShotClassifier:
        """A classifier whose weights are there (UserError where they are not)."""
        classifier = cls(weights, **parameters)
        classifier._open()
        return classifier

    @property
    def reader(self) -> Reader:
        """What pictures the weights read: `reader.shape` is (height, width, channels)."""
        return Reader.of(self._open())

    @property
    def most_classes(self) -> int:
        """How many classes the weights can tell apart."""
        return self._open().net["way"]

    def fit(self, images: Images, labels: Sequence) -> FewShotClassifier:
        """Adapt to a few images of each class; returns itself.

        Raises:
          ValueError: images or labels are not as described above, an image shows nothing, or
            there are too many classes.
          UserError: the weights or a file cannot be read.
        """
        steps = self.steps
        if steps is not None and (steps != int(steps) or steps < 0):
            raise ValueError(f"steps is {steps!r}: a number of inner steps is needed, or None")
        snapshot = self._open()
        classes, numbers = _sorted_classes(labels, snapshot.net["way"])
        form = ArrayForm(Reader.of(snapshot), _white(images))
        support = _pixels(images, form)
        if len(support) != len(numbers):
            raise ValueError(f"{len(support)} images and {len(numbers)} labels were given")
        if blank := blank_pictures(support, images).note:
            raise ValueError(f"{blank}; leave out what is blank or too faint")
        steps = snapshot.config.eval_steps if steps is None else int(steps)
        adapted = _model(snapshot).adapt(support, numbers, steps).numpy()
        self._fitted = _Fitted(snapshot, form, support, adapted)
        self.classes_ = classes
        self.n_features_in_ = int(np.prod(form.reader.shape))
        return self

    def predict_proba(self, images: Images) -> np.ndarray:
        """The probability of each class, float32 [n, classes], columns as in `classes_`.

        Warns (UserWarning) of images that show nothing, by their names.

        Raises:
          NotFittedError: `fit` was not called.
          ValueError, UserError: as in `fit`.
        """
        if not self.__sklearn_is_fitted__():
            raise NotFittedError("this FewShotClassifier has seen no examples yet: call fit first")
        snapshot, form, support, adapted = self._fitted
        queries, classes = _pixels(images, form), len(self.classes_)
        if not len(queries):
            return np.empty((0, classes), np.float32)
        if blank := blank_pictures(queries, images).note:
            warnings.warn(f"{blank}; their classes mean nothing", stacklevel=2)
        model = _model(snapshot)
        classify = model.classify_together if self.transductive else model.classify
        return classify(adapted, support, queries, classes).numpy()

    def predict(self, images: Images) -> np.ndarray:
        """The most probable class of each image, [n]."""
        probabilities = self.predict_proba(images)
        return self.classes_[probabilities.argmax(axis=1)]

    def score(self, images: Images, labels: Sequence) -> float:
        """The share of images that `predict` gives their label.

        Raises:
          ValueError: there is not one label for each image.
          NotFittedError, UserError: as in `predict_proba`.
        """
        predicted = self.predict(images)
        if np.shape(labels) != predicted.shape:
            raise ValueError(
                f"labels have the shape {np.shape(labels)}: one for each of the "
                f"{len(predicted)} images is needed"
            )
        return float(np.mean(predicted == np.asarray(labels)))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters of `__init__` by name."""
        return {name: getattr(self, name) for name in _parameters()}

    def set_params(self, **parameters: Any) -> FewShotClassifier:
        """Change parameters, for the next `fit`; returns itself."""
        for name, value in parameters.items():
            if name not in _parameters():
                raise ValueError(f"{name!r} is no parameter of FewShotClassifier: {_parameters()}")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"FewShotClassifier({values})"

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_fitted")

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn, which alone calls this, wants to know of an estimator."""
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(three_d_array=True),
        )

    def _open(self) -> Snapshot:
        """The weights; they are read again only if another name was given to them."""
        opened = getattr(self, "_opened", None)
        if opened is None or opened[0] != self.weights:
            opened = self._opened = self.weights, open_snapshot(self.weights)
        return opened[1]


class ArrayForm(NamedTuple):
    """How arrays of images are understood."""

    reader: Reader
    white: int  # the integer that stands for 1.0


class _Fitted(NamedTuple):
    """What `fit` leaves behind."""

    snapshot: Snapshot
    form: ArrayForm
    support: np.ndarray  # float32 [n, height, width, channels]
    adapted: np.ndarray  # float32 [P], the weights


_models: dict[str, FewShotModel] = {}


def _model(snapshot: Snapshot) -> FewShotModel:
    """The compiled model of some weights, compiled once however many classifiers use it."""
    key = fingerprint(snapshot)
    if key not in _models:
        start_tensorflow()
        from supervised_reptile.few_shot_model import FewShotModel

        if len(_models) >= MODELS_KEPT:
            del _models[next(iter(_models))]
        _models[key] = FewShotModel(snapshot)
    return _models[key]


def _parameters() -> tuple[str, ...]:
    return tuple(inspect.signature(FewShotClassifier).parameters)


def _sorted_classes(labels: Sequence, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The classes, and each label as its number among them, int32 [n]; ValueError if too many."""
    array = np.asarray(labels)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"labels have the shape {array.shape}: one for each image is needed")
    classes, numbers = np.unique(array, return_inverse=True)
    if len(classes) > most:
        raise ValueError(
            f"{len(classes)} classes, but these weights were trained to tell {most} apart"
        )
    return classes, numbers.astype(np.int32)


def _pixels(images: Images, form: ArrayForm) -> np.ndarray:
    """Images of any kind as float32 [n, height, width, channels], 0 ... 1 (else ValueError)."""
    if _to_be_read(images):
        sources = [Path(i) if isinstance(i, str | os.PathLike) else i for i in images]
        return read_pictures(sources, form.reader)[0]
    array, shape = np.asarray(images), form.reader.shape
    accepted = [shape, (int(np.prod(shape)),)] + [shape[:2]] * (shape[2] == 1)
    if array.shape[1:] not in accepted:
        known = " or ".join(str(("n", *form)).replace("'", "") for form in accepted)
        raise ValueError(f"images have the shape {array.shape}; these weights read {known}")
    white = 1 if array.dtype.kind in "fb" else form.white
    pixels = array.reshape(-1, *shape).astype(np.float32) / white
    if not (pixels >= 0).all() or not (pixels <= 1).all():  # also where they are no numbers
        raise ValueError(f"pixels go from 0 to {white} here, and these do not all")
    return pixels


def _white(images: Images) -> int:
    """The integer that stands for 1.0 in these images: 1 if none is larger, else 255."""
    if _to_be_read(images):
        return 255
    array = np.asarray(images)
    return 1 if array.dtype.kind in "iub" and array.size and array.max() <= 1 else 255


def _to_be_read(images: Images) -> bool:
    """Whether they are files or Pillow images, not numbers."""
    if isinstance(images, np.ndarray) and images.dtype.kind not in "OU":
        return False
    first = next(iter(images), 0)
    return not isinstance(first, np.ndarray | list | tuple | Number)
