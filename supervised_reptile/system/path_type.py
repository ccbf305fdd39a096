"""The type of parameters that name a file or folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from supervised_reptile.errors import UserError
from supervised_reptile.system.atomic_files import home_expanded


class Place(click.Path):
    """click.Path with ~ as the home directory, and without the empty path.

    Python and click read an empty path, for example from an unset shell variable, as the current
    directory, which --overwrite would then replace.
    """

    def __init__(self, known_as: str | None = None, **how: Any) -> None:
        """known_as: flag to name in messages, if not the parameter's; how: click's arguments."""
        super().__init__(**how)
        self._hint = known_as and f"'{known_as}'"

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        """`value` as click converts it; a usage error if it is empty or of an unknown user."""
        if value == "":
            message = "is empty; name a file or folder (. is the current one)"
            raise click.BadParameter(message, ctx, param, self._hint)
        try:
            path = super().convert(home_expanded(value), param, ctx)
        except UserError as error:
            raise click.BadParameter(str(error), ctx, param, self._hint) from error
        # A Path of "./~" has lost its "./".
        return path.absolute() if isinstance(path, Path) and str(path).startswith("~") else path
