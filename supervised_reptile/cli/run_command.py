"""The commands that train and evaluate, made of Config's flags; the scripts are built on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from supervised_reptile.api import execute
from supervised_reptile.config import (
    Config,
    Count,
    config_from_flags,
    config_options,
    flag_of,
    names_weights,
)
from supervised_reptile.distributed.placement import Placement
from supervised_reptile.errors import SettingsError
from supervised_reptile.training.request import Request
from supervised_reptile.training.sources import Source

MAX_WORKERS = 4096
EPILOG = """\b
Examples:
  {script} --data-dir DIR --shots 5 --train-shots 10 --inner-batch 10 --inner-iters 5
      --meta-step 1 --meta-step-final 0 --meta-batch 5 --meta-iters 100000
      --learning-rate 0.001 --eval-iters 50 --checkpoint runs/o55 --transductive
  {script} --checkpoint runs/o55 --resume
  {script} --checkpoint runs/o55 --pretrained --shots 1 --both-modes
"""


WORKER_OPTIONS = (
    click.option(
        "--workers", default=1, show_default=True, type=Count(1, MAX_WORKERS),
        help="Processes that share every meta-batch and every evaluation, started by Ray. The "
        "result is that of one process, up to the order of summation. --resume continues with "
        "any number of workers.",
    ),
    click.option(
        "--ray-address", metavar="ADDRESS",
        help="Start the workers on this Ray cluster (auto, host:port or ray://host:port) instead "
        "of this machine. --checkpoint and --data-dir must be on storage that its machines share.",
    ),
    click.option(
        "--worker-cpus", default=0, type=Count(0, MAX_WORKERS),
        help="CPUs of each worker; by default an equal share of this machine's, on a cluster 1.",
    ),
    click.option(
        "--worker-gpus",
        default=0,
        show_default=True,
        type=Count(0, MAX_WORKERS),
        help="GPUs of each worker.",
    ),
    click.option(
        "--max-failures", default=3, show_default=True, type=Count(0),
        help="How often workers that die are started again, from the last checkpoint.",
    ),
)  # fmt: skip


class Parsed(NamedTuple):
    """A parsed command line that trains or evaluates."""

    config: Config
    explicit: frozenset[str]  # fields of it that were given, not defaulted
    resume: bool
    overwrite: bool
    placement: Placement


class RunCommand(click.Command):
    """A command of `run_command`."""

    source: Source  # the data that it trains on


def run_command(
    help: str,
    source: Source,
    parameters: Sequence[Callable] = (),
    omit: tuple[str, ...] = (),
    epilog: str = EPILOG,
    **defaults: Any,
) -> RunCommand:
    """A command that trains and evaluates on one kind of data.

    Args:
      help: what it does, for --help.
      source: the data.
      parameters: click decorators of fields of Config that are arguments here.
      omit: fields of Config that are no flags here, because they have no meaning or are
        among `parameters`.
      epilog: examples for --help, with {script} for the command.
      defaults: fields of Config whose default differs here.
    """

    directory = flag_of("checkpoint", source.config)

    def decorated(command: Callable) -> Callable:
        several = WORKER_OPTIONS if source.config is Config else ()
        for parameter in reversed((*parameters, *several)):
            command = parameter(command)
        return config_options(omit, source.config, **defaults)(command)

    @click.command(
        cls=RunCommand,
        help=help,
        epilog=epilog.format(script=source.command),
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    @decorated
    @click.option("--foml", is_flag=True, help="Short for --algorithm foml.")
    @click.option("--resume", is_flag=True, help=f"Continue the run in the {directory} directory.")
    @click.option(
        "--overwrite", is_flag=True, help=f"Replace the run in the {directory} directory."
    )
    @click.pass_context
    def command(context: click.Context, **_: Any) -> None:
        parsed = interpret(context)
        request = Request(parsed.config, parsed.explicit, source, parsed.resume, parsed.overwrite)
        try:
            execute(request, parsed.placement)
        except SettingsError as error:
            raise click.UsageError(str(error), context) from error

    command.source = source
    return command


def interpret(context: click.Context) -> Parsed:
    """Parse the flags of a RunCommand's context (click.UsageError on contradictions)."""
    values = dict(context.params)
    explicit = {
        name for name in values if context.get_parameter_source(name) == ParameterSource.COMMANDLINE
    }
    resume, overwrite = values.pop("resume"), values.pop("overwrite")
    if values.pop("foml"):
        if "algorithm" in explicit and values["algorithm"] != "foml":
            raise click.UsageError(f"--foml contradicts --algorithm {values['algorithm']}")
        values["algorithm"] = "foml"
        explicit.add("algorithm")
    exclusive = {
        "--resume": resume,
        "--overwrite": overwrite,
        "--pretrained": values["pretrained"],
    }
    if len(given := [name for name, on in exclusive.items() if on]) > 1:
        raise click.UsageError(f"{' and '.join(given)} exclude each other")
    assert isinstance(context.command, RunCommand)
    kind = context.command.source.config
    fields = set(kind.__dataclass_fields__)
    given = {f.name: values.pop(f.name) for f in dataclasses.fields(Placement) if f.name in values}
    placement = Placement(**{"workers": 1, **given})
    if placement.workers == 1 and (unused := sorted(explicit & (given.keys() - {"workers"}))):
        flag = "--" + unused[0].replace("_", "-")
        raise click.UsageError(f"{flag} is about several workers: give --workers, too")
    if placement.ray_address == "":  # of an unset shell variable
        raise click.UsageError("--ray-address is empty; auto is the cluster of this machine")
    config = config_from_flags(values, explicit, kind)
    if names_weights(config):
        check_named(config, explicit)
    return Parsed(config, frozenset(explicit & fields), resume, overwrite, placement)


def check_named(config: Config, explicit: set[str]) -> None:
    """Refuse named weights where none exist, or together with a run directory (UsageError)."""
    directory = flag_of("checkpoint", type(config))
    if type(config) is not Config:
        raise click.UsageError(
            f"--pretrained {config.pretrained}: there are no named weights for "
            f"{config.kind}; give {directory} DIR and --pretrained alone"
        )
    if "checkpoint" in explicit:
        raise click.UsageError(
            f"--pretrained {config.pretrained} names weights, and {directory} others: leave one out"
        )
