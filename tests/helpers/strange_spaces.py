"""SPACE.toml as nobody would write it: strategies of Hypothesis for `reptile sweep`'s file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from strange_folder import SPACE

from supervised_reptile.sweep.space import COMMANDS, METHODS

SEARCH = {
    "command": st.sampled_from([*COMMANDS, "imagenet"]),
    "method": st.sampled_from([*METHODS] * 3 + ["cmaes"]),
    "early-stopping": st.sampled_from(["asha", "none", "hyperband"]),
    "objective": st.sampled_from(["transductive", "non-transductive", "loss"]),
    "grace": st.sampled_from([0.25, 0, 1, 2]),
    "reduction": st.sampled_from([3, 1, 10**9]),
    "seed": st.sampled_from([0, 1, -1, 10**400]),
    "training-images": st.sampled_from([1000, 0, 10**400]),
}
HUGE = 10**400
RANGES = (
    {"log": [1e-4, 1e-2]}, {"linear": [0, 1]}, {"int": [1, 3]}, {"log-int": [1, 8]},
    {"log": [0, 1]}, {"int": [3, 1]}, {"int": [1, HUGE]}, {"linear": [-HUGE, HUGE]},
    {"log": [1, HUGE]}, {"int": [1, 3, 5]}, {"int": ["1", "3"]}, {"logg": [1, 2]}, {},
    {"int": [1, 3], "log": [1, 3]}, {"linear": [float("nan"), 1]}, {"log": [1, float("inf")]},
)  # fmt: skip
LISTS = ([0.5, 1.0], [1, 2], [1], ["reptile", "foml"], [True, False], [], [1, 1], [1, 1.0, True],
         [HUGE], [-1], [float("nan")], [[]], [{}], ["joint"], list(range(400)))  # fmt: skip


def spaces() -> st.SearchStrategy[str]:
    """The text of a file: made of tables that are nearly sound, or with a place gone wrong."""
    return st.one_of(_tables().map(written), _tables().map(written), _spoilt())


def _tables() -> st.SearchStrategy[Mapping[str, Any]]:
    options = {max(p.opts, key=len).lstrip("-") for c in COMMANDS.values() for p in c.params}
    names = st.sampled_from(sorted({*options, "no-such", "-x", "help"}))
    few = {"min_size": 1, "max_size": 4}
    dimensions = st.dictionaries(names, st.sampled_from([*RANGES, *LISTS]) | _anything(), **few)
    values = st.dictionaries(names, _anything(), max_size=4)
    others = {name: drawn for name, drawn in SEARCH.items() if name != "method"}
    search = st.fixed_dictionaries({"method": SEARCH["method"]}, optional=others)
    return st.fixed_dictionaries(
        {"search": search, "space": dimensions},
        optional={
            "fixed": values,
            "first": values | st.lists(values, max_size=2),
            "fixd": values,
        },
    )


def _anything() -> st.SearchStrategy[Any]:
    """Whatever TOML can say, but for dates."""
    single = st.one_of(
        st.booleans(),
        st.integers(-2, 3),
        st.sampled_from([HUGE, -HUGE, 1e308, float("nan"), float("inf"), "", "foml", "0.5,0.5,0"]),
        st.floats(),
        st.text(st.characters(codec="utf8"), max_size=4),
    )
    return st.recursive(
        single,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text("ab-", max_size=2), inner)
        ),
        max_leaves=4,
    )


def _spoilt() -> st.SearchStrategy[str]:
    """A sound file, some letters of which are others."""
    place = st.tuples(st.integers(0, len(SPACE)), st.integers(0, 6), st.text(max_size=3))
    return place.map(lambda p: SPACE[: p[0]] + p[2] + SPACE[p[0] + p[1] :])


def written(tables: Mapping[str, Any]) -> str:
    """As TOML."""
    return "".join(f"{_value(name)} = {_value(value)}\n" for name, value in tables.items())


def _value(value: Any) -> str:
    """An inline value: JSON's texts are TOML's, but for one letter."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_value(k)} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower()
