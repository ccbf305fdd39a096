"""Command groups that import a subcommand only when it is used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

# subcommand -> (module, attribute, one line for --help)
Subcommands = Mapping[str, tuple[str, str, str]]


class LazyGroup(click.Group):
    """Lists subcommands from a table and imports only the one asked for.

    TensorFlow takes seconds to import: `reptile --help` and the data commands do without.
    """

    def __init__(self, name: str, table: Subcommands, help: str) -> None:
        super().__init__(name, help=help, context_settings={"help_option_names": ["-h", "--help"]})
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._table)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self._table:
            return None
        module, attribute, _ = self._table[name]
        return getattr(importlib.import_module(module), attribute)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in self._table.items()])
