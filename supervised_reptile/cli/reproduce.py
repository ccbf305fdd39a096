"""`reptile reproduce`: the paper's experiments, each a subcommand imported only when used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import click

from supervised_reptile.cli.lazy_group import LazyGroup, Subcommands
from supervised_reptile.config import Count
from supervised_reptile.errors import UserError
from supervised_reptile.paper.options import data_option, fraction_option, jobs_option, out_option

_TABLES = "supervised_reptile.paper.tables"

STUDIES: Subcommands = {
    "omniglot-5way": (_TABLES, "omniglot_5way", "Tables: Omniglot, 5-way."),
    "omniglot-20way": (_TABLES, "omniglot_20way", "Tables: Omniglot, 20-way."),
    "miniimagenet-5way": (_TABLES, "miniimagenet_5way", "Tables: Mini-ImageNet, 5-way."),
    "gradients": (
        "supervised_reptile.paper.inner_gradients",
        "gradients",
        "Section 6.2: combinations of inner gradients.",
    ),
    "overlap": (
        "supervised_reptile.paper.overlap",
        "overlap",
        "Section 6.3: overlap of FOML's last batch with the others.",
    ),
    "theory": (
        "supervised_reptile.paper.theory",
        "theory",
        "Section 5: the terms of the updates, and gradient alignment.",
    ),
    "cost": (
        "supervised_reptile.paper.cost",
        "cost",
        "Memory and time of MAML, FOML and Reptile by inner steps.",
    ),
    "all": (
        "supervised_reptile.cli.reproduce",
        "everything",
        "All of them, and one page with their results.",
    ),
}

reproduce = LazyGroup(
    "reproduce",
    STUDIES,
    "Run the paper's experiments and compare with its results.",
)

# In the order in which they run: short and informative ones first.
ALL = (
    "theory", "cost", "omniglot-5way", "gradients", "overlap", "omniglot-20way",
    "miniimagenet-5way",
)  # fmt: skip


@click.command("all")
@out_option
@data_option("--omniglot", "data/omniglot", "Omniglot")
@data_option("--miniimagenet", "data/miniimagenet", "Mini-ImageNet")
@fraction_option
@jobs_option
@click.option(
    "--eval-samples",
    type=Count(2),
    help="Number of episodes for each accuracy; by default as each study needs.",
)
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(ALL),
    help="Run only this study; may be repeated.",
)
@click.pass_context
def everything(
    context: click.Context,
    out: Path,
    omniglot: str,
    miniimagenet: str,
    fraction: float,
    jobs: int,
    eval_samples: int | None,
    only: tuple[str, ...],
) -> None:
    """Run all studies and write one page: OUT/report.md and OUT/report.html.

    At full length this takes about two days on two cores; --fraction shortens it. After an
    interruption, the same command continues. If a study fails, the others still run and the
    failure is reported at the end.
    """
    from supervised_reptile.cli.report import report

    shared: dict[str, Any] = {"fraction": fraction, "jobs": jobs}
    if eval_samples:
        shared["eval_samples"] = eval_samples
    failed = []
    for name in ALL:
        if only and name not in only:
            continue
        click.echo(f"\n== {name}")
        command = reproduce.get_command(context, name)
        assert command is not None
        given = _taken_by(command, shared)
        data_dir = miniimagenet if name.startswith("miniimagenet") else omniglot
        try:
            context.invoke(command, out=out / name, data_dir=data_dir, **given)
        except UserError as error:
            failed.append(f"{name}: {error}")
            click.echo(f"Failed: {error}", err=True)
    if len(failed) < len(only or ALL):
        context.invoke(report, folders=(out,), out=out, title="The paper, reproduced")
    if failed:
        raise UserError("; ".join(failed))


def _taken_by(command: click.Command, shared: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options that the command has; the fraction as outer steps, if it has these."""
    taken = {parameter.name: parameter for parameter in command.params}
    given = {key: value for key, value in shared.items() if key in taken}
    if "outer_steps" in taken and shared["fraction"] != 1:
        default = cast(int, taken["outer_steps"].default)
        given["outer_steps"] = max(1, round(shared["fraction"] * default))
    return given
