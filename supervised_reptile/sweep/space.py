"""SPACE.toml: which flags a sweep varies, how it searches, and what all trials share."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from supervised_reptile.cli_datasets import miniimagenet, omniglot
from supervised_reptile.cli_run import RunCommand, interpret
from supervised_reptile.cli_train import train
from supervised_reptile.config import Config
from supervised_reptile.errors import UserError
from supervised_reptile.modes import NON_TRANSDUCTIVE, TRANSDUCTIVE, transduction_modes
from supervised_reptile.sweep.dimensions import (
    Choices,
    Dimension,
    Range,
    Value,
    flag_name,
    grid_size,
    read_dimension,
    read_value,
)
from supervised_reptile.sweep.nearest import suggestion

TABLES = ("search", "space", "fixed", "first")
METHODS = ("grid", "random", "tpe", "cma-es")
COMMANDS: Mapping[str, RunCommand] = {
    "omniglot": omniglot,
    "miniimagenet": miniimagenet,
    "train": train,
}
OBJECTIVES = {
    "transductive": TRANSDUCTIVE,
    "non-transductive": NON_TRANSDUCTIVE,
}
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
FEWEST_RANGES = 2  # that CMA-ES can adapt a covariance to
Point = Mapping[str, Value]  # flag -> value


@dataclass(frozen=True)
class EarlyStopping:
    """Asynchronous successive halving (Li et al. 2020, arXiv 1810.05934)."""

    grace: float = 1 / 9  # share of a trial's outer steps before it may be stopped
    reduction: float = 3  # of the trials at each rung, the best 1 / reduction go on


@dataclass(frozen=True)
class Space:
    """A sweep as its file describes it."""

    command: str  # a key of COMMANDS
    method: str  # one of METHODS
    dimensions: Mapping[str, Dimension]
    fixed: Point
    first: tuple[Point, ...] = ()  # tried before the search chooses
    early_stopping: EarlyStopping | None = None
    objective: str | None = None  # a key of OBJECTIVES; None: the mode that training watches
    seed: int = 0
    training_images: int | None = None  # of every trial, instead of outer steps

    @property
    def grid_size(self) -> int | None:
        """How many trials a grid has; None of another search, which has no end."""
        return grid_size(list(self.dimensions.values())) if self.method == "grid" else None

    def words(self, point: Point) -> list[str]:
        """The flags of a trial: what the file fixes, and `point`."""
        words = flag_words(self.command, {**self.fixed, **point})
        if self.training_images:
            config = configuration(self.command, words)
            images = config.meta_batch * config.inner_steps * config.inner_batch
            words += ["--meta-iters", str(max(1, round(self.training_images / images)))]
        return words

    def mode(self, config: Config) -> str:
        """The transduction mode whose accuracy is the objective."""
        return OBJECTIVES[self.objective] if self.objective else transduction_modes(config)[0]


def options_of(command: str) -> dict[str, click.Option]:
    """Flag without dashes -> option."""
    options = COMMANDS[command].params
    return {flag_name(option): option for option in options if isinstance(option, click.Option)}


def flag_words(command: str, values: Point) -> list[str]:
    """The flags of the command that give it `values`."""
    options, words = options_of(command), []
    for name, value in values.items():
        if value is False:
            words += options[name].secondary_opts[:1]  # where there is none, off is the default
        elif value is True:
            words.append(f"--{name}")
        else:
            words += [f"--{name}", str(value)]
    return words


def data_words(command: str, data_dir: str) -> list[str]:
    """How the command is told where the images are."""
    return ["--data-dir", data_dir] if "data-dir" in options_of(command) else [data_dir]


def configuration(command: str, words: list[str]) -> Config:
    """What the command makes of flags (click.UsageError where they contradict each other)."""
    return context_of(command, words)[0]


def context_of(command: str, words: list[str]) -> tuple[Config, dict[str, Any]]:
    """`configuration`, and the values that only the command's data take."""
    place = [] if "--data-dir" in words else data_words(command, "DIR")
    parsed = interpret(COMMANDS[command].make_context(command, [*place, *words]))
    return parsed.config, parsed.own


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
        return tomllib.loads(path.read_text(encoding="utf8"))
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
            else dimension.low <= value <= dimension.high
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
    if space.method == "cma-es" and (lists or len(ranges) < FEWEST_RANGES):
        what = f"{lists[0]} is a list" if lists else f"there is only {', '.join(ranges)}"
        raise UserError(f"cma-es moves in {FEWEST_RANGES} or more ranges, but {what}; try tpe")
    if space.training_images and "meta-iters" in (*space.fixed, *space.dimensions):
        raise UserError("meta-iters follows from training-images: leave one of them out")
    for point in itertools.islice(extremes(space), MOST_COMBINATIONS):
        _check_point(space, point)


def extremes(space: Space) -> Iterator[Point]:
    """All combinations of listed values and of the ends of ranges, and the first points."""
    yield from space.first
    for values in itertools.product(*(d.ends for d in space.dimensions.values())):
        yield dict(zip(space.dimensions, values, strict=True))


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
