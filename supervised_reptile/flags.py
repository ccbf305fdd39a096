"""From a Config back to the command line that makes it."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Collection

from supervised_reptile.config import Config


def flags(config: Config, omit: Collection[str] = (), always: Collection[str] = ()) -> list[str]:
    """The flags of all fields but `omit` that differ from their defaults, or are in `always`."""
    words: list[str] = []
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if item.name in omit or (value == item.default and item.name not in always):
            continue
        flag, *no_flag = item.metadata["flag"].split("/")
        words += no_flag if value is False else [flag]  # where there is none, off is the default
        if not isinstance(value, bool):
            words.append(str(value))
    return words


def command_line(script: str, config: Config, omit: Collection[str] = ()) -> str:
    """`python SCRIPT FLAGS...`, ready to paste into a shell."""
    return shlex.join(["python", script, *flags(config, omit)])
