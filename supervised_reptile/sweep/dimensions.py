"""What SPACE.toml may say of one flag: a list of values, or a range."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import click

from supervised_reptile.errors import UserError
from supervised_reptile.sweep.nearest import suggestion

Value = bool | int | float | str
INTEGER_RANGES, LOG_RANGES = ("int", "log-int"), ("log", "log-int")
RANGES = ("linear", "log", "int", "log-int")


class Choices(NamedTuple):
    """One of several values."""

    values: tuple[Value, ...]

    @property
    def ends(self) -> tuple[Value, ...]:
        """Values that contradictions between flags are looked for with: all."""
        return self.values


class Range(NamedTuple):
    """Numbers from `low` to `high`, both included."""

    low: float
    high: float
    log: bool = False
    integer: bool = False

    @property
    def ends(self) -> tuple[Value, ...]:
        """Values that contradictions between flags are looked for with: the extremes."""
        return self.low, self.high


Dimension = Choices | Range


def read_dimension(option: click.Option, written: Any) -> Dimension:
    """The dimension that is `written` in the file for a flag.

    Raises:
      UserError: it is none, or the flag takes no such values; the message starts with the flag.
    """
    name = flag_name(option)
    if isinstance(written, list):
        if not written:
            raise UserError(f"{name} = []: give at least one value")
        values = tuple(read_value(option, value) for value in written)
        if len(set(values)) < len(values):
            raise UserError(f"{name} = {written}: a value is there twice")
        return Choices(values)
    if isinstance(written, dict):
        return _read_range(option, written)
    raise UserError(
        f"{name} = {written}: give a list of values or a range as in {{ log = [1e-4, 1e-2] }}; "
        "what all trials share belongs into [fixed]"
    )


def _read_range(option: click.Option, written: dict[str, Any]) -> Range:
    name = flag_name(option)
    if len(written) != 1 or next(iter(written)) not in RANGES:
        unknown = next((key for key in written if key not in RANGES), "")
        hint = suggestion(unknown, RANGES) if unknown else ""
        raise UserError(f"{name} = {_shown(written)}: give one of {', '.join(RANGES)}{hint}")
    ((kind, ends),) = written.items()
    if not (isinstance(ends, list) and len(ends) == 2 and all(map(_is_number, ends))):
        raise UserError(f"{name} = {_shown(written)}: a range is two numbers, [lowest, highest]")
    low, high = ends
    if not low < high:
        raise UserError(f"{name} = {_shown(written)}: the range is empty, {low} is not < {high}")
    integer, log = kind in INTEGER_RANGES, kind in LOG_RANGES
    if log and low <= 0:
        raise UserError(f"{name} = {_shown(written)}: a logarithmic range starts above 0")
    takes = option.type.name
    if "float" not in takes and "integer" not in takes:
        raise UserError(f"{name} takes no numbers: give a list of its values")
    if integer != ("integer" in takes):
        wanted = {"linear": "int", "log": "log-int", "int": "linear", "log-int": "log"}[kind]
        numbers = "integers" if "integer" in takes else "any number"
        raise UserError(f"{name} takes {numbers}: write {wanted} instead of {kind}")
    return Range(_read_number(option, low), _read_number(option, high), log, integer)


def _read_number(option: click.Option, written: Any) -> float:
    value = read_value(option, written)
    assert not isinstance(value, str)  # the flag takes numbers
    return value


def read_value(option: click.Option, written: Any) -> Value:
    """A value as the flag takes it (UserError where it does not)."""
    name, is_switch, takes = flag_name(option), option.is_flag, option.type.name
    if isinstance(written, bool) != is_switch or not isinstance(written, bool | int | float | str):
        wanted = "true or false" if is_switch else f"one value ({takes})"
        raise UserError(f"{name} = {_shown(written)}: it takes {wanted}")
    if isinstance(written, float) and "integer" in takes:
        raise UserError(f"{name} = {written}: it takes integers")
    if isinstance(written, str) == ("integer" in takes or "float" in takes):
        quotes = (
            "a number has no quotes" if isinstance(written, str) else "it takes text, in quotes"
        )
        if not is_switch:
            raise UserError(f"{name} = {written!r}: {quotes}")
    try:
        converted = option.type.convert(written, option, None)
    except click.BadParameter as error:
        raise UserError(f"{name} = {written}: {error.message}") from error
    except OverflowError as error:
        raise UserError(f"{name} = {written}: that is too large") from error
    return written if isinstance(written, str) else converted


def flag_name(option: click.Option) -> str:
    """The flag without its dashes, as SPACE.toml names it."""
    return max(option.opts, key=len).lstrip("-")


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or math.isfinite(value)


def _shown(written: Any) -> str:
    """As the file has it, more or less."""
    if isinstance(written, dict):
        return "{ " + ", ".join(f"{key} = {value}" for key, value in written.items()) + " }"
    return str(written)


def grid_size(dimensions: Sequence[Dimension]) -> int:
    """How many points a grid of choices has."""
    return math.prod(len(d.values) for d in dimensions if isinstance(d, Choices))


def described(dimension: Dimension) -> str:
    """For people: what the flag may be."""
    if isinstance(dimension, Choices):
        return ", ".join(map(str, dimension.values))
    kind = "integers " * dimension.integer
    scale = " on a logarithmic scale" * dimension.log
    return f"{kind}{dimension.low:g} to {dimension.high:g}{scale}"


def as_toml(dimension: Dimension) -> str:
    """What `read_dimension` reads."""
    if isinstance(dimension, Choices):
        return json.dumps(dimension.values)
    log, integer = dimension.log, dimension.integer
    kind = ("log-int" if integer else "log") if log else ("int" if integer else "linear")
    return f"{{ {kind} = {json.dumps(dimension[:2])} }}"
