"""Pickles from strangers: arrays of numbers and plain containers, nothing else.

Nothing that a file names is called but what ALLOWED has for it. Even numpy's own reconstruction is
kept out: a crafted dtype makes it take bytes from the file for addresses of objects.
"""

from __future__ import annotations

import collections
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np

from supervised_reptile.data.layouts.layout import foreign_content
from supervised_reptile.errors import UserError

NUMBERS = re.compile(r"b1|[iu][1248]|f[248]")


class PickledArray:
    """Stands in for numpy's _reconstruct; `array` is complete once the state was set."""

    array: np.ndarray

    def __init__(self, *_arguments: Any) -> None:
        self.array = np.empty(0, np.uint8)

    def __setstate__(self, state: Any) -> None:
        _version, shape, dtype, fortran, data = state
        self.array = _array(data, dtype, shape, "F" if fortran else "C")


class _Dtype:
    """Stands in for numpy.dtype: the name of a number type, and its byte order."""

    def __init__(self, name: Any, *_copy: Any) -> None:
        self.name, self.order = _text(name), "="
        if not NUMBERS.fullmatch(self.name):
            raise pickle.UnpicklingError(f"refused: an array of {self.name!r}, not of numbers")

    def __setstate__(self, state: Any) -> None:
        self.order = _text(state[1])


def _array(data: Any, dtype: _Dtype, shape: Any, order: Any = "C") -> np.ndarray:
    if not isinstance(dtype, _Dtype):
        raise pickle.UnpicklingError("refused: an array without a type of numbers")
    kind = np.dtype(dtype.name).newbyteorder(dtype.order)  # pyright: ignore[reportArgumentType]
    return np.frombuffer(data, kind).reshape(shape, order=order)


def _from_buffer(data: Any, dtype: _Dtype, shape: Any, order: Any) -> PickledArray:
    result = PickledArray()
    result.array = _array(data, dtype, shape, order)
    return result


def _scalar(dtype: _Dtype, data: Any) -> Any:
    return _array(data, dtype, 1)[0].item()


def _text(value: Any) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else str(value)


ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): PickledArray,  # an argument of the next
    ("numpy.core.multiarray", "_reconstruct"): PickledArray,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): str.encode,  # how Python 3 writes bytes for Python 2 to read
    ("builtins", "range"): range,
    ("builtins", "xrange"): range,
    ("builtins", "list"): list,  # of a defaultdict
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("collections", "defaultdict"): collections.defaultdict,
}


class _Unpickler(pickle._Unpickler):
    """The one in Python: the one in C keeps two copies of a Python 2 string, here a gigabyte."""

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy._core", "numpy.core").replace("__builtin__", "builtins")
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(
                f"refused: it names {module}.{name}, and only numpy arrays and plain containers "
                "are allowed; nothing was called, get the file from a source you trust"
            )
        return ALLOWED[module, name]


def load_pickle(path: Path) -> Any:
    """What a pickle of any protocol holds, written by Python 2 or 3 and any numpy.

    Python 2's strings come as bytes. Arrays come as `PickledArray`.

    Raises:
      UserError: it is damaged, or holds something other than arrays and plain containers.
    """
    try:
        with path.open("rb") as file:
            return _Unpickler(file, encoding="bytes").load()
    except OSError as error:
        raise UserError(f"{path}: not a readable pickle ({error.strerror})") from error
    except Exception as error:  # damaged pickles end in every kind of exception
        with path.open("rb") as file:
            reason = foreign_content(file.read(256)) or str(error) or type(error).__name__
        raise UserError(f"{path}: not a readable pickle ({reason})") from error
