"""The console command `reptile`. Each subcommand is imported only when it is used."""

from __future__ import annotations

import contextlib
import io
import sys
from typing import NoReturn

import click

from supervised_reptile.cli.lazy_group import LazyGroup, Subcommands
from supervised_reptile.errors import Interrupted, SettingsError, UserError, one_line
from supervised_reptile.system.out_of_memory import (
    discard_failing_output,
    open_closed_streams,
    shortage,
)

SUBCOMMANDS: Subcommands = {
    "omniglot": (
        "supervised_reptile.cli.datasets",
        "omniglot",
        "Train and evaluate on Omniglot, as run_omniglot.py does.",
    ),
    "miniimagenet": (
        "supervised_reptile.cli.datasets",
        "miniimagenet",
        "Train and evaluate on Mini-ImageNet, as run_miniimagenet.py does.",
    ),
    "train": (
        "supervised_reptile.cli.train",
        "train",
        "Train and evaluate on your own images, one folder per class.",
    ),
    "sine": (
        "supervised_reptile.cli.sine",
        "sine",
        "Few-shot regression of sine waves: the smallest example, with plots.",
    ),
    "data": (
        "supervised_reptile.cli.data",
        "data",
        "Draw alphabets; import, verify and show data sets.",
    ),
    "predict": (
        "supervised_reptile.cli.predict",
        "predict",
        "Classify pictures, given a few examples of each class.",
    ),
    "export": (
        "supervised_reptile.cli.export",
        "export",
        "Export trained weights for other programs and the browser.",
    ),
    "demo": (
        "supervised_reptile.cli.demo",
        "demo",
        "Serve the browser demo: draw characters and have them classified.",
    ),
    "plot": (
        "supervised_reptile.cli.plot",
        "plot",
        "Plot the learning curves of runs.",
    ),
    "compare": (
        "supervised_reptile.cli.compare",
        "compare",
        "Rank runs by accuracy and test their differences on the same episodes.",
    ),
    "report": (
        "supervised_reptile.cli.report",
        "report",
        "Write results to one page, as Markdown and HTML.",
    ),
    "sweep": (
        "supervised_reptile.sweep.command",
        "sweep",
        "Search hyper-parameters, on this machine or a cluster.",
    ),
    "reproduce": (
        "supervised_reptile.cli.reproduce",
        "reproduce",
        "Run the paper's experiments and compare with its results.",
    ),
}


reptile = LazyGroup(
    "reptile",
    SUBCOMMANDS,
    "Few-shot learning with Reptile and first-order MAML (arXiv 1803.02999).",
)


def run(command: click.Command, arguments: list[str] | None = None) -> None:
    """Run a click command as a program: exit 0, 2 for usage, 1 for failure, 128 + a signal."""
    open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # File names may be of bytes that are no text, and terminals may lack letters.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = command.main(args=arguments, standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:  # usage errors exit with 2
        with contextlib.suppress(OSError):
            _show(error)
        sys.exit(error.exit_code)
    except SettingsError as error:  # of a stored run and the flags together
        with contextlib.suppress(OSError):
            _show(click.UsageError(str(error)))
        sys.exit(2)
    except UserError as error:
        _fail(str(error))
    except Interrupted as stop:
        _say(f"{stop}")
        sys.exit(128 + stop.signal_number)
    except (KeyboardInterrupt, click.Abort):
        _say("Interrupted.")
        sys.exit(130)
    except BrokenPipeError:  # nobody reads the output any more, as in `| head -1`
        discard_failing_output()
        sys.exit(1)
    except Exception as error:
        message = shortage(error)
        if not message and isinstance(error, OSError) and error.filename is not None:
            message = f"{error.filename}: {error.strerror}"
        if not message:
            raise
        _fail(message)
    if isinstance(status, int) and status:  # click returns what ctx.exit was given
        sys.exit(status)


def _fail(message: str) -> NoReturn:
    _say(f"Error: {one_line(message)}")
    sys.exit(1)


def _say(text: str) -> None:
    """On standard error; where that cannot be written, the exit status has to do."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


def _show(error: click.ClickException) -> None:
    """As click does, but in one line where click breaks it: before choices, and in what was typed.

    `reptile` alone is answered with its help, which is an error of many lines to click.
    """
    text = one_line(error.format_message().replace("\n\t", " "))
    if isinstance(error, click.UsageError) and type(error).show is click.UsageError.show:
        error = click.UsageError(text, error.ctx)
    error.show()


def main() -> None:
    """Entry point of the console command."""
    run(reptile)
