"""From a Config back to the command line that makes it."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Collection

from supervised_reptile.config import Config, flag_of


def flags(config: Config, omit: Collection[str] = ()) -> list[str]:
    """The flags of all fields but `omit` that differ from their defaults."""
    words: list[str] = []
    for item in dataclasses.fields(Config):
        value = getattr(config, item.name)
        if item.name in omit or value == item.default:
            continue
        words.append(flag_of(item.name))
        if value is not True:
            words.append(str(value))
    return words


def command_line(script: str, config: Config, omit: Collection[str] = ()) -> str:
    """`python SCRIPT FLAGS...`, ready to paste into a shell."""
    return shlex.join(["python", script, *flags(config, omit)])
