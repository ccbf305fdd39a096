"""The unpickler takes arrays and plain containers, and calls nothing a file names."""

from __future__ import annotations

import collections
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from supervised_reptile.data.layouts.safe_pickle import PickledArray, load_pickle
from supervised_reptile.errors import UserError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


class Calls:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function, *arguments) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


def saved(folder: Path, data: bytes) -> Path:
    path = folder / "some.pkl"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dtype", ["u1", "<i4", ">i8", "<f4", ">f8", "b1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_numbers(protocol: int, dtype: str, order: str, tmp_path: Path) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype, order=order)
    loaded = load_pickle(saved(tmp_path, pickle.dumps([array], protocol)))[0]
    assert isinstance(loaded, PickledArray)
    assert loaded.array.dtype == array.dtype
    assert np.array_equal(loaded.array, array)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_containers(protocol: int, tmp_path: Path) -> None:
    lists = collections.defaultdict(list, a=[1, 2])
    content = {"t": (1, 2.5, None, True), "o": collections.OrderedDict(b=1), "d": lists}
    content |= {"r": range(3, 9, 2), "s": np.int64(7), "u": "ü"}
    loaded = load_pickle(saved(tmp_path, pickle.dumps(content, protocol)))
    assert loaded == {**content, "r": range(3, 9, 2)}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"image_data": [x]}, lambda x: (1, x)])
def test_nothing_that_a_pickle_names_is_called(protocol: int, wrap, tmp_path: Path) -> None:
    victim = tmp_path / "made by the pickle"
    for call in (
        Calls(os.system, f"touch '{victim}'"),
        Calls(eval, f"open({str(victim)!r}, 'w')"),
        Calls(open, str(victim), "w"),
        Calls(os.mkdir, str(victim)),
        Calls(np.save, str(victim), 1),
    ):
        data = pickle.dumps(wrap(call), protocol)
        with pytest.raises(UserError, match=r"some\.pkl: .*refused: it names"):
            load_pickle(saved(tmp_path, data))
        assert not list(tmp_path.glob("made by*"))
    pickle.loads(data)  # the same bytes do harm to the ordinary unpickler
    assert list(tmp_path.glob("made by*"))


@pytest.mark.parametrize(
    "data",
    [
        b"(S'touch x'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'touch x'\no.",  # OBJ
        b"\x80\x02cos\nsystem\n.",  # naming it is enough
        b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93.",  # STACK_GLOBAL
        b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.dump\x93.",  # a dotted name
        b"\x80\x02cnumpy\nload\n.",
        b"\x80\x02cnumpy.core.multiarray\nfromfile\n.",
        b"\x80\x02cbuiltins\ngetattr\n.",
        b"\x80\x02ccopyreg\n_reconstructor\n.",
    ],
)
def test_other_ways_of_naming_a_function_are_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="refused"):
        load_pickle(saved(tmp_path, data))


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(np.array([{"an": "object"}], object)),
        pickle.dumps(np.array(["text"])),
        pickle.dumps(np.zeros(2, [("a", "u1"), ("b", "O")])),
        # A dtype of objects that claims to be plain: numpy would take the bytes for addresses.
        b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00O8K\x00K\x01\x87R"
        b"(K\x03X\x01\x00\x00\x00|NNNK\x08K\x08K\x00tb.",
        b"\x80\x02cnumpy\ndtype\n}X\x01\x00\x00\x00a}sb.",  # state for a function
    ],
)
def test_arrays_of_anything_but_numbers_are_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"some\.pkl: not a readable pickle"):
        load_pickle(saved(tmp_path, data))


def test_an_array_must_fill_its_shape(tmp_path: Path) -> None:
    data = pickle.dumps(np.zeros((3, 5), np.uint8), 2)
    larger = data.replace(b"K\x03K\x05\x86", b"K\x7fK\x7f\x86")
    assert larger != data
    with pytest.raises(UserError, match="cannot reshape"):
        load_pickle(saved(tmp_path, larger))


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "empty"),
        (b"<!doctype html><p>Log in</p>", "HTML page"),
        (pickle.dumps(np.zeros((50, 50), np.uint8))[:1000], "not a readable pickle"),
        (b"\x80\x02Pan id\n.", "persistent"),
        (b"\x80\x02X\xff\xff\xff\x7fabc", "not a readable pickle"),
    ],
)
def test_damaged_pickles_are_one_sentence(data: bytes, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=complaint) as caught:
        load_pickle(saved(tmp_path, data))
    assert "some.pkl" in str(caught.value)


def test_a_missing_pickle_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        load_pickle(tmp_path / "some.pkl")
