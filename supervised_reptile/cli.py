"""The console command `reptile`: one subcommand a capability, each imported only when used."""

from __future__ import annotations

import importlib
import sys

import click

from supervised_reptile.errors import Interrupted, UserError

# subcommand -> (module, attribute, one line for `reptile --help`)
SUBCOMMANDS = {
    "train": (
        "supervised_reptile.cli_train",
        "train",
        "Train and evaluate on your own images, a folder for each class.",
    ),
    "data": (
        "supervised_reptile.cli_data",
        "data",
        "Draw alphabets; import, verify and show data sets.",
    ),
}


class LazyGroup(click.Group):
    """Lists subcommands from the table above and imports only the one asked for.

    TensorFlow takes seconds to import: `reptile --help` and the data commands do without.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in SUBCOMMANDS:
            return None
        module, attribute, _ = SUBCOMMANDS[name]
        return getattr(importlib.import_module(module), attribute)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in SUBCOMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def reptile() -> None:
    """Few-shot learning with Reptile and first-order MAML (arXiv 1803.02999)."""


def run(command: click.Command, arguments: list[str] | None = None) -> None:
    """Run a click command as a program: exit 0, 2 for usage, 1 for failure, 130 for Ctrl-C."""
    try:
        status = command.main(args=arguments, standalone_mode=False)
    except click.ClickException as error:  # usage errors exit with 2
        error.show()
        sys.exit(error.exit_code)
    except UserError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except Interrupted as stop:
        click.echo(f"{stop}", err=True)
        sys.exit(128 + stop.signal_number)
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted.", err=True)
        sys.exit(130)
    if isinstance(status, int) and status:  # click returns what ctx.exit was given
        sys.exit(status)


def main() -> None:
    """Entry point of the console command."""
    run(reptile)
