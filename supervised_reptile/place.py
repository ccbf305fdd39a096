"""The type of parameters that name a file or folder."""

from __future__ import annotations

import os

import click


class Place(click.Path):
    """click's, but nothing is no place: for Python, and click, an empty path is the current folder.

    It comes from a shell's variable that is not set, and with --overwrite would cost what is there.
    """

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        """`value` as click converts it; a usage error if it is empty."""
        if value == "":
            self.fail("is empty; name a file or folder (. is the current one)", param, ctx)
        return super().convert(value, param, ctx)
