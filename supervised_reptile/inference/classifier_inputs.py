"""Images and labels in whatever form a caller has them. No TensorFlow, no pandas.

Everything is iterated exactly once, so that generators are as good as lists.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, MappingView, Set
from io import TextIOBase
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from supervised_reptile.system.atomic_files import home_expanded
from supervised_reptile.system.start_tensorflow import start_tensorflow

Source = Path | Image.Image | bytes  # bytes: the content of a file

LONGEST_PATH = 4096  # bytes
INFINITE = -1  # tf.data.INFINITE_CARDINALITY
WANTED = {
    "images": "an array, or a list of files, Pillow images or arrays",
    "labels": "a list or an array with one dimension",
}


def sources_or_array(images: Any, shape: tuple[int, int, int]) -> list[Source] | np.ndarray:
    """Images as a list of files and Pillow images, or else as one array of numbers [n, ...].

    Args:
      images: see `FewShotClassifier`.
      shape: (height, width, channels) of the network's images.

    Raises:
      TypeError: it is a single image, or not of a type that is read; the message names the type.
      ValueError: arrays are of different shapes, or not of the network's.
    """
    array = _as_array(images, "images")
    if array is not None and array.dtype.kind not in "OSUT":
        return _checked(_numeric(array, "images"), shape)
    items = _items(images, "images") if array is None else _flat(array, "images")
    once = isinstance(images, Iterator)  # and may fill one buffer again and again
    read: list[Source] = []
    arrays: list[np.ndarray] = []
    for i, item in enumerate(items):
        image = _image(item, f"image {i}")
        if isinstance(image, np.ndarray):
            arrays.append(image.copy() if once else image)
        else:
            read.append(image)
        if arrays and read:
            others = "files or Pillow images" if isinstance(image, np.ndarray) else "arrays"
            raise TypeError(
                f"image {i} is {_described(item)} and those before it are {others}: give all in "
                "one form"
            )
    return read or _checked(_stacked(arrays, shape), shape)


def label_array(labels: Any) -> np.ndarray:
    """Labels as an array [n] in which each is what it was given as.

    Arrays keep their type. Elsewhere labels are of NumPy's type where that loses nothing, as for
    numbers or strings alone; else they are Python objects.

    Raises:
      TypeError: it is a single label or not of a type that is read, or labels are not hashable.
      ValueError: a label is missing (None, NaN, NaT, NA, masked), or there are more dimensions.
    """
    array = _as_array(labels, "labels")
    if array is None:
        array = _faithful([_scalar(item, i) for i, item in enumerate(_items(labels, "labels"))])
    if array.ndim != 1:
        raise ValueError(f"labels have the shape {array.shape}: one for each image is needed")
    for i, label in enumerate(array):
        if _is_missing(label):
            raise ValueError(f"label {i} is missing ({label}): leave out images without a label")
    return array


def numbered(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The classes among labels [n], and each label as its number among them, int32 [n].

    Classes are sorted; those that Python cannot sort are in the order in which they first appear.
    As in Python, True, 1 and 1.0 are one label, the first of them; 1 and "1" are two.
    """
    if labels.dtype != object:
        classes, numbers = np.unique(labels, return_inverse=True)
        return classes, numbers.astype(np.int32)
    try:
        distinct = list(dict.fromkeys(labels))
    except TypeError as error:
        raise TypeError(f"labels have to be hashable ({error})") from error
    try:
        distinct.sort()
    except TypeError:
        distinct = list(dict.fromkeys(labels))  # a failed sort leaves any order
    number_of = {label: i for i, label in enumerate(distinct)}
    return _objects(distinct), np.array([number_of[label] for label in labels], np.int32)


def image_forms(shape: tuple[int, int, int]) -> list[tuple[int, ...]]:
    """The shapes in which arrays may hold an image of `shape`."""
    return [shape, (int(np.prod(shape)),), *[shape[:2]] * (shape[2] == 1)]


def _as_array(values: Any, name: str) -> np.ndarray | None:
    """`values` as an array, or None where they have to be iterated (else TypeError)."""
    _refuse_foreign(values, name)
    single = str | bytes | bytearray | memoryview | os.PathLike | Image.Image | Number
    if isinstance(values, single) or hasattr(values, "read"):
        raise TypeError(
            f"{name}: a single {type(values).__name__} was given where several are expected; put "
            "it into a list"
        )
    if not hasattr(values, "__array__"):
        return None
    array = np.asarray(values)
    if np.ma.isMaskedArray(values) and np.ma.is_masked(values):
        raise ValueError(f"{name} are partly masked: fill what is missing, or leave it out")
    if array.ndim == 0:
        raise TypeError(
            f"{name}: {_described(values)} of a single value was given where several are expected"
        )
    return array


def _refuse_foreign(value: Any, name: str) -> None:
    """Refuse what can be iterated, but not as images or labels (TypeError)."""
    kind = type(value)
    unordered = isinstance(value, Set) and not isinstance(value, MappingView)
    table, sparse = hasattr(kind, "columns"), hasattr(kind, "tocoo") or hasattr(kind, "todense")
    if value is None or isinstance(value, Mapping) or unordered or table or sparse:
        raise _unreadable(value, name, ", which has no order," if unordered else "")


def _described(value: Any) -> str:
    """What a value is, in words."""
    if value is None:
        return "None"
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiouAEIOU" or name.startswith("nd") else f"a {name}"


def _unreadable(value: Any, name: str, more: str = "") -> TypeError:
    wanted = WANTED.get(name, "a file, a Pillow image or an array")
    return TypeError(f"{name}: {_described(value)}{more} was given; {wanted} is needed")


def _items(values: Any, name: str) -> Iterable[Any]:
    """What is iterated: a `tf.data.Dataset` of batches of labels or files is taken apart."""
    if hasattr(values, "element_spec"):
        start_tensorflow()  # refuses in a forked process, in which the dataset would wait for ever
        if hasattr(values, "cardinality") and values.cardinality() == INFINITE:
            raise ValueError(f"{name} is a dataset without an end: take(n) limits it")
        spec = values.element_spec
        if isinstance(spec, tuple | Mapping):
            raise TypeError(
                f"{name}: a dataset of {type(spec).__name__} elements was given; {name} alone are "
                "needed: select them with its map()"
            )
        single = name == "labels" or getattr(spec, "dtype", None) == "string"  # no array of many
        if single and getattr(getattr(spec, "shape", None), "rank", 0):
            return values.unbatch()
    try:
        return iter(values)
    except TypeError:
        raise _unreadable(values, name) from None


def _flat(array: np.ndarray, name: str) -> Iterator[Any]:
    """The items of an array of objects or strings; those of more dimensions are nested lists."""
    if array.ndim > 1 and array.dtype.kind != "O":
        raise TypeError(f"{name} are strings of the shape {array.shape}: one dimension is needed")
    return iter(array if array.ndim == 1 else array.tolist())


def _image(item: Any, name: str) -> Source | np.ndarray:
    """One image as it was given: a file, a Pillow image or an array of numbers."""
    _refuse_foreign(item, name)
    if isinstance(item, str | os.PathLike):
        return Path(home_expanded(os.fsdecode(item)))
    if isinstance(item, bytes):
        return _of_bytes(item)
    if isinstance(item, Image.Image):
        if 0 in item.size:
            raise ValueError(f"{name} has no pixels: its size is {item.size}")
        return _whole_picture(item)
    if hasattr(item, "read"):
        return _whole(item, name)
    if not (isinstance(item, list | tuple | Number) or hasattr(item, "__array__")):
        raise _unreadable(item, name)
    if isinstance(item, list | tuple) and (inner := _not_of_numbers(item)):
        raise _unreadable(item, name, f" with {inner} in it")
    if np.ma.isMaskedArray(item) and np.ma.is_masked(item):
        raise ValueError(f"{name} is partly masked: fill what is missing")
    try:
        array = np.asarray(item)
    except ValueError as error:
        if not isinstance(item, list | tuple):
            raise
        raise ValueError(
            f"{name}: {_described(item)} with parts of different shapes was given; one image is "
            "needed"
        ) from error
    if array.ndim == 0 and isinstance(array[()], str | bytes):
        return _image(array[()], name)  # TensorFlow's strings are bytes in an array
    return _numeric(array, name)


def _of_bytes(content: bytes) -> Source:
    """A path, as `os.listdir` and TensorFlow's `list_files` give it, or the content of a file."""
    if b"\0" in content or len(content) > LONGEST_PATH:  # no path has that, every image does
        return content
    return Path(os.fsdecode(content))


def _whole_picture(image: Image.Image) -> Image.Image:
    """`image` with its pixels, whose file may be closed, or at another frame, when it is read."""
    with contextlib.suppress(Exception):  # of damaged files, which reading names
        image.load()
        return image.copy() if getattr(image, "is_animated", False) else image
    return image


def _whole(file: Any, name: str) -> bytes:
    """The content of an open file, wherever it was read up to."""
    if isinstance(file, TextIOBase):
        raise TypeError(f"{name} is a file opened as text: open it with mode 'rb'")
    if hasattr(file, "seek"):
        file.seek(0)
    return file.read()


def _not_of_numbers(nested: list | tuple) -> str:
    """What is in nested lists beside numbers and arrays, the first of it ("": nothing)."""
    for item in nested:
        if isinstance(item, list | tuple):
            if found := _not_of_numbers(item):
                return found
        elif isinstance(item, str | bytes | Image.Image) or not (
            isinstance(item, Number) or hasattr(item, "__array__")
        ):
            return _described(item)
    return ""


def _numeric(array: np.ndarray, name: str) -> np.ndarray:
    """`array`, of booleans, whole numbers or floats (else TypeError)."""
    if array.dtype.kind == "V" and np.can_cast(array.dtype, np.float32):
        return array.astype(np.float32)  # bfloat16, which is not NumPy's own
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name}: values of the type {array.dtype} were given; numbers are needed")
    return array


def _stacked(arrays: list[np.ndarray], shape: tuple[int, int, int]) -> np.ndarray:
    """Images, or batches of images, as one array."""
    forms = image_forms(shape)
    if all(array.shape not in forms and array.shape[1:] in forms for array in arrays):
        arrays = [image for batch in arrays for image in batch]
    if not arrays:
        return np.empty((0, *shape), np.float32)
    for i, array in enumerate(arrays):
        if array.shape != arrays[0].shape:
            raise ValueError(
                f"image {i} has the shape {array.shape} and image 0 {arrays[0].shape}: arrays need "
                "one shape (files and Pillow images may have any size)"
            )
    kinds = {array.dtype.kind.replace("u", "i") for array in arrays}
    if len(kinds) == 1:
        return np.stack(arrays)
    for i, array in enumerate(arrays):  # in floats and booleans 1 is white
        if array.dtype.kind in "iu" and array.size and array.max() > 1:
            raise ValueError(
                f"image {i} goes up to {array.max()}, and others are floats or booleans, which "
                "end at 1: give all in one type"
            )
    return np.stack(arrays).astype(np.float32)


def _checked(array: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """`array`, whose shape is that of several images (else ValueError)."""
    forms = image_forms(shape)
    if array.shape[1:] in forms:
        return array
    if array.shape == (0,):
        return array.reshape(0, *shape)
    if array.shape in forms:
        raise ValueError(
            f"images have the shape {array.shape} of a single image: several are expected; "
            "put it into a list"
        )
    known = " or ".join(str(("n", *form)).replace("'", "") for form in forms)
    raise ValueError(f"images have the shape {array.shape}; these weights read {known}")


def _scalar(label: Any, index: int) -> Any:
    """A label in a list; arrays without dimensions, as tensors are, are what they hold."""
    if not hasattr(label, "__array__") or isinstance(label, np.generic):
        return label
    array = np.asarray(label)
    if array.ndim:
        raise ValueError(
            f"label {index} has the shape {array.shape}: one label for each image is needed"
        )
    return np.ma.masked if np.ma.is_masked(label) else array[()]


def _faithful(labels: list[Any]) -> np.ndarray:
    """Labels [n] as NumPy's type where all stay what they are, else as objects."""
    plain = all(
        isinstance(label, np.generic) or type(label) in (bool, int, float, complex, str, bytes)
        for label in labels
    )
    if plain and len({isinstance(label, bool | np.bool_) for label in labels}) <= 1:
        with contextlib.suppress(TypeError, ValueError):  # of types without a common one
            array = np.array(labels)
            if all(map(_is_same, array, labels)):
                return array
    return _objects(labels)


def _is_same(one: Any, other: Any) -> bool:
    """Whether both are one label.

    Not so "1" and 1, a float and the integer it was rounded from, "a" and "a\\0".
    """
    one, other = (x.item() if isinstance(x, np.number) else x for x in (one, other))  # exact
    return bool(one == other) or (_is_missing(one) and _is_missing(other))


def _objects(items: list[Any]) -> np.ndarray:
    array = np.empty(len(items), object)
    for i, item in enumerate(items):  # NumPy would take tuples apart
        array[i] = item
    return array


def _is_missing(label: Any) -> bool:
    """Whether it is None, NaN, NaT, NA or masked, also within a tuple, but for None."""
    if label is None or label is np.ma.masked:
        return True
    if isinstance(label, tuple):
        return any(item is not None and _is_missing(item) for item in label)
    try:
        return bool(label != label)
    except (TypeError, ValueError):  # pandas.NA is neither equal nor unequal
        return type(label).__name__ == "NAType"
    except ArithmeticError:  # Decimal("sNaN")
        return True
