"""Reading SPACE.toml: what is wrong in it is said in one line, before anything starts."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from supervised_reptile.config import transduction_modes
from supervised_reptile.errors import UserError
from supervised_reptile.sweep.dimensions import (
    Choices,
    Dimension,
    Range,
    read_dimension,
    read_value,
)
from supervised_reptile.sweep.nearest import suggestion
from supervised_reptile.sweep.space import (
    COMMANDS,
    OBJECTIVES,
    EarlyStopping,
    Point,
    Space,
    configuration,
    extremes,
    options_of,
)

TABLES = ("search", "space", "fixed", "first")
METHODS = ("grid", "random", "tpe", "cma-es")
# Flags that every trial has from the sweep itself: what to do instead.
MANAGED = {
    "checkpoint": "every trial has its own directory below --out",
    "data-dir": "give --data-dir to reptile sweep",
    "threads": "give --threads to reptile sweep",
    "eval-splits": "a sweep reads validation classes only",
    "resume": "give --resume to reptile sweep",
    "overwrite": "give another --out to reptile sweep",
    "pretrained": "trials are trained",
}
# Accuracies under other values of these cannot be compared.
MEASURE = (
    "classes", "shots", "eval-samples", "eval-seed", "transductive", "both-modes", "val-classes",
    "split", "skip-broken",
)  # fmt: skip
MOST_COMBINATIONS = 512  # that contradictions are looked for in
MOST_POINTS = 100_000  # of a grid, which is written down before it starts
FEWEST_RANGES = 2  # that CMA-ES can adapt a covariance to


def read_space(path: Path) -> Space:
    """The sweep that a file describes.

    Raises:
      UserError: something in it is wrong; the message is one line and names the file.
    """
    try:
        content = _parse(path)
        space = _read(content)
        _check(space)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return space


def _parse(path: Path) -> dict[str, Any]:
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        import tomli as tomllib
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(getattr(error, "strerror", None) or "it is not text") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"it is not TOML: {error}") from error


def _read(content: dict[str, Any]) -> Space:
    for name in content:
        if name not in TABLES:
            raise UserError(f"[{name}] is none of {', '.join(TABLES)}{suggestion(name, TABLES)}")
    for name in ("search", "space"):
        if not isinstance(content.get(name), dict) or not content[name]:
            raise UserError(f"the table [{name}] is missing")
    search = dict(content["search"])
    command = _one_of(search, "command", tuple(COMMANDS), "omniglot")
    options = options_of(command)
    dimensions = {
        name: read_dimension(_option(options, name, command), value)
        for name, value in content["space"].items()
    }
    fixed = {
        name: read_value(_option(options, name, command), value)
        for name, value in _table(content, "fixed").items()
    }
    first = content.get("first", [])
    if not isinstance(first, list):
        raise UserError("[first] is a table: write [[first]], once for each point")
    points = tuple(_point(point, dimensions, options) for point in first)
    return Space(command, _method(search), dimensions, fixed, points, **_search(search))


def _table(content: dict[str, Any], name: str) -> dict[str, Any]:
    table = content.get(name, {})
    if not isinstance(table, dict):
        raise UserError(f"{name} is to be a table, [{name}]")
    return table


def _option(options: Mapping[str, click.Option], name: str, command: str) -> click.Option:
    if name in MANAGED:
        raise UserError(f"{name}: {MANAGED[name]}")
    if name not in options:
        if name.startswith("-"):
            raise UserError(f"{name}: write flags without their dashes, {name.lstrip('-')}")
        known = [known for known in options if known not in MANAGED]
        raise UserError(f"reptile {command} has no flag --{name}{suggestion(name, known)}")
    return options[name]


def _point(
    written: Any, dimensions: Mapping[str, Dimension], options: Mapping[str, click.Option]
) -> Point:
    if not isinstance(written, dict) or set(written) != set(dimensions):
        raise UserError(f"[[first]] gives a value for each of {', '.join(dimensions)}")
    point = {name: read_value(options[name], value) for name, value in written.items()}
    for name, value in point.items():
        dimension = dimensions[name]
        inside = (
            value in dimension.values
            if isinstance(dimension, Choices)
            else not isinstance(value, str) and dimension.low <= value <= dimension.high
        )
        if not inside:
            raise UserError(f"[[first]] {name} = {value} is outside of what [space] gives it")
    return point


def _method(search: dict[str, Any]) -> str:
    if "method" not in search:
        raise UserError(f"[search] has no method: give one of {', '.join(METHODS)}")
    return _one_of(search, "method", METHODS, "")


def _search(search: dict[str, Any]) -> dict[str, Any]:
    """The fields of Space in [search] (what is taken out of `search` before was read already)."""
    stopping = _one_of(search, "early-stopping", ("asha", "none"), "none") == "asha"
    rule = {
        name: _number(search, name, low, high)
        for name, low, high in (("grace", 0, 1), ("reduction", 1, 1000))
        if name in search
    }
    if rule and not stopping:
        raise UserError(f'[search] {next(iter(rule))} belongs to early-stopping = "asha"')
    fields = {
        "early_stopping": EarlyStopping(**rule) if stopping else None,
        "objective": _one_of(search, "objective", tuple(OBJECTIVES), None),
        "seed": _integer(search, "seed", 0, 0),
        "training_images": _integer(search, "training-images", 1, None),
    }
    if search:
        known = ("command", "method", "early-stopping", "objective", "seed", "training-images",
                 "grace", "reduction")  # fmt: skip
        name = next(iter(search))
        raise UserError(f"[search] {name} is not known{suggestion(name, known)}")
    return fields


def _one_of(table: dict[str, Any], name: str, known: tuple[str, ...], default: Any) -> Any:
    value = table.pop(name, default)
    if value != default and value not in known:
        near = suggestion(str(value), known)
        raise UserError(f"[search] {name} = {value!r} is none of {', '.join(known)}{near}")
    return value


def _number(table: dict[str, Any], name: str, above: float, below: float) -> float:
    value = table.pop(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not above < value < below:
        raise UserError(f"[search] {name} = {value}: give a number between {above} and {below}")
    return value


def _integer(table: dict[str, Any], name: str, lowest: int, default: int | None) -> int | None:
    value = table.pop(name, default)
    if value is not default and (type(value) is not int or value < lowest):
        raise UserError(f"[search] {name} = {value}: give an integer from {lowest} on")
    return value


def _check(space: Space) -> None:
    """Refuse what contradicts itself (UserError)."""
    for name in space.dimensions:
        if name in space.fixed:
            raise UserError(f"{name} is both in [space] and in [fixed]")
        if name in MEASURE:
            raise UserError(
                f"{name} is in [space], but accuracies under different ones cannot be compared: "
                "put it into [fixed]"
            )
    ranges = [name for name, d in space.dimensions.items() if isinstance(d, Range)]
    lists = [name for name in space.dimensions if name not in ranges]
    if space.method == "grid" and (ranges or space.first):
        what = f"{ranges[0]} is a range" if ranges else "[[first]] has no meaning"
        raise UserError(f"{what} in a grid: give lists of values, or another method")
    if (space.grid_size or 0) > MOST_POINTS:
        raise UserError(
            f"a grid of {space.grid_size:,} points, and {MOST_POINTS:,} is the most: give fewer "
            "values, or search at random"
        )
    if space.method == "cma-es" and (lists or len(ranges) < FEWEST_RANGES):
        what = f"{lists[0]} is a list" if lists else f"there is only {', '.join(ranges)}"
        raise UserError(f"cma-es moves in {FEWEST_RANGES} or more ranges, but {what}; try tpe")
    if space.training_images and "meta-iters" in (*space.fixed, *space.dimensions):
        raise UserError("meta-iters follows from training-images: leave one of them out")
    for point in itertools.islice(extremes(space), MOST_COMBINATIONS):
        _check_point(space, point)


def _check_point(space: Space, point: Point) -> None:
    try:
        config = configuration(space.command, space.words(point))
    except click.UsageError as error:
        shown = ", ".join(f"{name} = {value}" for name, value in point.items())
        raise UserError(f"with {shown}: {error.format_message()}") from error
    if "val-classes" in options_of(space.command) and not config.val_classes:
        raise UserError(
            "a sweep chooses by validation classes and none are held out: set val-classes in "
            "[fixed] (--val-classes 100, for example)"
        )
    if space.mode(config) not in transduction_modes(config):
        raise UserError(
            f'objective = "{space.objective}" is not measured: set both-modes = true, or '
            f"transductive = {str(space.objective == 'transductive').lower()}, in [fixed]"
        )
