"""Pickles from strangers: arrays of numbers and plain containers, nothing else.

An ordinary unpickler calls whatever the file names. This one calls nothing but the
functions below. Even numpy's own reconstruction is kept out: a crafted dtype makes it
take bytes from the file for addresses of objects. Only bytes, a shape and the name of a
number type are taken over, and `numpy.frombuffer` makes the array.
"""

from __future__ import annotations

import math
import pickle
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np

from supervised_reptile.data.layouts.layout import foreign_content
from supervised_reptile.errors import UserError

NUMBERS = re.compile(r"b1|[iu][1248]|f[248]")
MAX_RANGE = 10_000_000
ByteOrder = Literal["<", ">", "=", "|"]


def load_pickle(path: Path) -> Any:
    """What a pickle of any protocol holds, written by Python 2 or 3 and any numpy.

    Python 2's strings come as bytes. Arrays come as `PickledArray`.

    Raises:
      UserError: it is damaged, or holds something other than arrays and plain containers.
    """
    try:
        with path.open("rb") as file:
            return _Unpickler(file, encoding="bytes").load()
    except _Refused as reason:
        raise UserError(f"{path}: refused, because it holds {reason}") from reason
    except Exception as error:  # damaged pickles end in every kind of exception
        raise UserError(f"{path}: not a readable pickle ({_why(path, error)})") from error


class _Refused(Exception):  # noqa: N818 - completes "it holds ..."
    """What the pickle holds that is not admitted."""


class PickledArray:
    """An array of numbers on its way out of a pickle; complete once its state was set."""

    __slots__ = ("array",)

    def __init__(self) -> None:
        self.array: np.ndarray = np.empty(0, np.uint8)

    def __setstate__(self, state: Any) -> None:
        _version, shape, dtype, fortran, data = state
        self.array = _array(data, dtype, shape, "F" if fortran else "C")


class _Dtype:
    """Stands in for numpy.dtype: a number type's name and byte order."""

    __slots__ = ("name", "order")

    def __init__(self, name: Any, *_copy: Any) -> None:
        self.name = _text(name)
        self.order: ByteOrder = "="
        if not NUMBERS.fullmatch(self.name):
            raise _Refused(f"an array of {self.name!r} instead of numbers")

    def __setstate__(self, state: Any) -> None:
        order = _text(state[1])
        if order not in ("<", ">", "=", "|"):
            raise _Refused(f"the byte order {order!r}")
        self.order = order


class _Unpickler(pickle._Unpickler):
    """Python's own unpickler in Python, restricted.

    The one in C keeps two copies of a Python 2 string, here of a gigabyte, and reserves
    memory as the file tells it to.
    """

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy._core", "numpy.core").replace("__builtin__", "builtins")
        if (module, name) not in _ADMITTED:
            raise _Refused(
                f"a call of {module}.{name} where only numpy arrays and plain containers are "
                "admitted; nothing was called, get the file from a source you trust"
            )
        return _ADMITTED[module, name]

    stack: list[Any]  # which typeshed, like the next, leaves out

    def load_build(self) -> None:
        if not isinstance(self.stack[-2], PickledArray | _Dtype):
            raise _Refused("the state of something that has none")
        super().load_build()  # pyright: ignore[reportAttributeAccessIssue] not in typeshed

    dispatch: dict[int, Any] = {**pickle._Unpickler.dispatch, pickle.BUILD[0]: load_build}  # noqa: RUF012


def _array(data: Any, dtype: Any, shape: Any, order: Literal["C", "F"]) -> np.ndarray:
    if not isinstance(data, bytes | bytearray | str) or not isinstance(dtype, _Dtype):
        raise _Refused("an array that is not made of bytes")
    raw = data.encode("latin1") if isinstance(data, str) else data
    kind = np.dtype(dtype.name).newbyteorder(dtype.order)
    if math.prod(shape) * kind.itemsize != len(raw):
        raise _Refused("an array whose bytes do not fill its shape")
    return np.frombuffer(raw, kind).reshape(shape, order=order)


def _make_dtype(*arguments: Any) -> _Dtype:
    return _Dtype(*arguments)


def _reconstruct(*_arguments: Any) -> PickledArray:
    return PickledArray()


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> PickledArray:
    result = PickledArray()
    result.array = _array(data, dtype, shape, "F" if _text(order) == "F" else "C")
    return result


def _scalar(dtype: Any, data: Any) -> Any:
    return _array(data, dtype, (1,), "C")[0].item()


def _encode(text: str, encoding: Any) -> bytes:
    """How Python 3 writes bytes for Python 2 to read."""
    if _text(encoding) != "latin1":
        raise _Refused(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


def _range(*bounds: int) -> range:
    result = range(*bounds)
    if len(result) > MAX_RANGE:
        raise _Refused("a range too long to be indices of images")
    return result


def _dictionary(*arguments: Any) -> dict:
    """OrderedDict and defaultdict; Python 2 gives the pairs as the argument."""
    return dict(arguments[0]) if arguments and isinstance(arguments[0], list) else {}


def _text(value: Any) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else str(value)


def _why(path: Path, error: Exception) -> str:
    try:
        with path.open("rb") as file:
            return foreign_content(file.read(256)) or str(error) or type(error).__name__
    except OSError as refused:
        return refused.strerror or str(refused)


_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): "numpy.ndarray",  # only ever an argument of the next
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy", "dtype"): _make_dtype,
    ("_codecs", "encode"): _encode,
    ("builtins", "range"): _range,
    ("builtins", "xrange"): _range,
    ("builtins", "list"): "list",  # only ever an argument of defaultdict
    ("collections", "OrderedDict"): _dictionary,
    ("collections", "defaultdict"): _dictionary,
}
