"""FewShotClassifier: a trained initialization with the manners of a scikit-learn estimator.

Importing this imports neither TensorFlow nor scikit-learn. `fit` imports the first; only an error
that has to be one of scikit-learn's imports the second.
"""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Iterable
from functools import cache
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from supervised_reptile.errors import UserError, counted
from supervised_reptile.inference.classifier_inputs import (
    Source,
    label_array,
    numbered,
    sources_or_array,
)
from supervised_reptile.inference.pictures import (
    LEVELS,
    Reader,
    blank_pictures,
    change_notes,
    read_pictures,
)
from supervised_reptile.runs.open_weights import open_snapshot
from supervised_reptile.runs.snapshot import fingerprint
from supervised_reptile.system.start_tensorflow import start_tensorflow

if TYPE_CHECKING:
    from PIL import Image

    from supervised_reptile.inference.few_shot_model import FewShotModel
    from supervised_reptile.runs.snapshot import Snapshot

    Images = np.ndarray | Iterable[Path | str | bytes | Image.Image | np.ndarray]

MODELS_KEPT = 4  # compiled ones, for classifiers that start from the same weights


class NotFittedError(ValueError, AttributeError):
    """`predict` before `fit`; where scikit-learn is installed, also its error of that name."""

    def __reduce__(self) -> tuple:
        return _not_fitted, self.args


def _not_fitted(message: str) -> NotFittedError:
    return _error_class()(message)


@cache
def _error_class() -> type[NotFittedError]:
    """Made when it is raised: importing scikit-learn takes a second."""
    try:
        from sklearn.exceptions import NotFittedError as Theirs
    except ImportError:
        return NotFittedError
    return type("NotFittedError", (NotFittedError, Theirs), {"__module__": __name__})


class FewShotClassifier:
    """Learns classes from a few images each, by inner steps from a trained initialization.

        clf = FewShotClassifier.load("omniglot-5way")
        clf.fit(images, labels)
        clf.predict_proba(queries)

    Images are one of:

    - an array [n, height, width, channels] of the weights' size, from NumPy, TensorFlow or any
      other type with `__array__`. A single channel may be left out; rows
      [n, height * width * channels] are accepted too. Float arrays are in [0, 1]; integer arrays
      in [0, 255], except that an image of zeros and ones is black and white.
    - an iterable of such arrays without n, or of batches of them, as in `tf.data.Dataset`.
    - an iterable of files (paths, open files, or their content as bytes) and Pillow images of any
      size.

    Omniglot's weights need dark drawings on light paper. Files and Pillow images are inverted if
    necessary; arrays are not.

    Labels are an iterable of hashable values, which `predict` returns unchanged. None, NaN and
    similar values are refused. 1 and "1" are two labels; True, 1 and 1.0 are equal in Python and
    therefore one label, named as it first appears. The number of classes is at most that of the
    weights' training; `predict_proba` has a column for each of `classes_`.

    Iterables, including generators, are iterated once.

    Attributes after `fit`:
      classes_: the labels, [classes]: sorted, or in order of first appearance if they cannot
        be sorted.
    """

    _estimator_type = "classifier"

    def __init__(
        self,
        weights: str | Path = "omniglot-5way",
        steps: int | None = None,
        transductive: bool = False,
    ) -> None:
        """Stores its parameters; `fit` opens the weights.

        Args:
          weights: a run directory, weights exported as npz, or the name of shipped weights
            (a str: a Path of that name is a folder).
          steps: number of inner steps; None for the number in the evaluation of the weights.
          transductive: classify all queries of a call in one forward pass, so that they share
            batch statistics. This is more accurate with many queries of balanced classes, but
            each prediction then depends on the other queries. Otherwise each query is classified
            by itself.
        """
        self.weights = weights
        self.steps = steps
        self.transductive = transductive

    @classmethod
    def load(cls, weights: str | Path = "omniglot-5way", **parameters: Any) -> FewShotClassifier:
        """A classifier with opened weights (UserError if they cannot be read)."""
        classifier = cls(weights, **parameters)
        classifier._open()
        return classifier

    @property
    def reader(self) -> Reader:
        """How pictures are read for the weights; `reader.shape` is (height, width, channels)."""
        return Reader.of(self._open())

    @property
    def most_classes(self) -> int:
        """Largest number of classes that the weights distinguish."""
        return self._open().net["way"]

    def fit(self, images: Images, labels: Iterable) -> FewShotClassifier:
        """Adapt to a few images of each class; returns itself.

        Warns (UserWarning) of files and Pillow images whose contrast was stretched.

        Raises:
          TypeError: the type of images or labels is not supported; the message names it.
          ValueError: their values or counts are not as described above, an image shows nothing,
            or there are too many classes.
          UserError: the weights or a file cannot be read, the inner steps diverge, or this process
            is a fork of one that used TensorFlow.
        """
        steps = self.steps
        if steps is not None and not (isinstance(steps, Real) and steps >= 0 and steps % 1 == 0):
            raise ValueError(f"steps is {steps!r}: a number of inner steps is needed, or None")
        snapshot = self._open()
        classes, numbers = numbered(label_array(labels))
        reader, most = Reader.of(snapshot), snapshot.net["way"]
        given = sources_or_array(images, reader.shape)
        if len(given) != len(numbers):
            raise ValueError(
                f"{counted(len(given), 'image')} and {counted(len(numbers), 'label')} were given"
            )
        if not len(given):
            raise ValueError("no images were given: each class needs one at least")
        if len(classes) > most:
            raise ValueError(
                f"{counted(len(classes), 'class')}, but these weights distinguish at most {most}"
            )
        support = _pixels(given, reader)
        if blank := blank_pictures(support, given).note:
            raise ValueError(f"{blank}; leave out what is blank or too faint")
        steps = snapshot.config.eval_steps if steps is None else int(steps)
        adapted = _model(snapshot).adapt(support, numbers, steps).numpy()
        if not np.isfinite(adapted).all():
            raise UserError(
                f"{self.weights}: {steps} inner steps on these images end in weights that are not "
                "finite; take other weights or fewer steps"
            )
        self._fitted = _Fitted(snapshot, support, adapted)
        self.classes_ = classes
        self.n_features_in_ = int(np.prod(reader.shape))
        return self

    def predict_proba(self, images: Images) -> np.ndarray:
        """The probability of each class, float32 [n, classes], columns as in `classes_`.

        Warns (UserWarning) of images that show nothing, by their names, and as `fit`.

        Raises:
          NotFittedError: `fit` was not called.
          TypeError, ValueError, UserError: as in `fit`.
        """
        if not self.__sklearn_is_fitted__():
            raise _not_fitted("this FewShotClassifier has seen no examples yet: call fit first")
        snapshot, support, adapted = self._fitted
        reader = Reader.of(snapshot)
        given = sources_or_array(images, reader.shape)
        queries = _pixels(given, reader)
        classes = len(self.classes_)
        if not len(queries):
            return np.empty((0, classes), np.float32)
        if blank := blank_pictures(queries, given).note:
            warnings.warn(f"{blank}; their predictions are meaningless", stacklevel=2)
        model = _model(snapshot)
        classify = model.classify_together if self.transductive else model.classify
        return classify(adapted, support, queries, classes).numpy()

    def predict(self, images: Images) -> np.ndarray:
        """The most probable class of each image, [n]."""
        probabilities = self.predict_proba(images)
        return self.classes_[probabilities.argmax(axis=1)]

    def score(self, images: Images, labels: Iterable) -> float:
        """The accuracy of `predict` on images with these labels.

        Raises:
          ValueError: there are no images, or not one label for each.
          NotFittedError, UserError, TypeError: as in `predict_proba`.
        """
        predicted, truth = self.predict(images), label_array(labels)
        if len(truth) != len(predicted):
            raise ValueError(
                f"{counted(len(truth), 'label')} given, but {counted(len(predicted), 'image')}: "
                "one for each is needed"
            )
        if not len(truth):
            raise ValueError("no images were given; the accuracy is undefined")
        hits = [bool(a == b) for a, b in zip(predicted, truth, strict=True)]
        if not any(hits) and not any(a == b for a in self.classes_ for b in truth):
            known = ", ".join(map(repr, self.classes_.tolist()))
            warnings.warn(f"none of the labels is one of the classes, {known}", stacklevel=2)
        return float(np.mean(hits))

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
        """Estimator tags, called by scikit-learn only."""
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(three_d_array=True),
        )

    def _open(self) -> Snapshot:
        """The weights, read again only if `weights` changed."""
        if not isinstance(self.weights, str | os.PathLike):
            raise TypeError(f"weights is {self.weights!r}: a path, or a name such as omniglot-5way")
        opened = getattr(self, "_opened", None)
        if opened is None or opened[0] != self.weights:
            opened = self._opened = self.weights, open_snapshot(self.weights)
        return opened[1]


class _Fitted(NamedTuple):
    """State after `fit`."""

    snapshot: Snapshot
    support: np.ndarray  # float32 [n, height, width, channels]
    adapted: np.ndarray  # float32 [P], the weights


_models: dict[str, FewShotModel] = {}


def _model(snapshot: Snapshot) -> FewShotModel:
    """The compiled model of a snapshot, shared by all classifiers that use it."""
    start_tensorflow()  # even if the model exists: this process may be a fork
    key = fingerprint(snapshot)
    if key not in _models:
        from supervised_reptile.inference.few_shot_model import FewShotModel

        if len(_models) >= MODELS_KEPT:
            del _models[next(iter(_models))]
        _models[key] = FewShotModel(snapshot)
    return _models[key]


def _parameters() -> tuple[str, ...]:
    return tuple(inspect.signature(FewShotClassifier).parameters)


def _pixels(images: list[Source] | np.ndarray, reader: Reader) -> np.ndarray:
    """Images as float32 [n, height, width, channels], 0 ... 1 (else ValueError).

    Warns where levels were changed, for the caller's caller.
    """
    if isinstance(images, list):
        read, changes = read_pictures(images, reader)
        of_levels = [[change for change in some if change in LEVELS] for some in changes]
        if any(of_levels):
            warnings.warn("; ".join(change_notes(of_levels, reader)), stacklevel=3)
        return read
    pixels = images.reshape(-1, *reader.shape).astype(np.float32)
    of_floats = images.dtype.kind in "fb"
    if not of_floats:  # an image of zeros and ones is black and white, as in files
        pixels[pixels.max(axis=(1, 2, 3)) > 1] /= 255
    wrong = ~((pixels >= 0) & (pixels <= 1))  # also where they are no numbers
    if wrong.any():
        i = int(wrong.any(axis=(1, 2, 3)).argmax())
        value = images.reshape(pixels.shape)[i][wrong[i]][0]
        white = "1 in floats" if of_floats else "255 in integers"
        raise ValueError(f"pixels go from 0 to {white}, and image {i} has one of {value}")
    return pixels
