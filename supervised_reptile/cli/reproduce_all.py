"""`reptile reproduce all`: every study, the short ones first, and one page with all of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import click

from supervised_reptile.config import Count
from supervised_reptile.errors import UserError
from supervised_reptile.paper.options import fraction_option, jobs_option, out_option
from supervised_reptile.system.path_type import Place

# In the order in which they run: short and informative ones first.
TABLES = ("omniglot-5way", "omniglot-20way", "miniimagenet-5way")
ALL = ("theory", "cost", *TABLES[:1], "gradients", "overlap", *TABLES[1:])


@click.command("all")
@out_option
@click.option(
    "--omniglot",
    default="data/omniglot",
    show_default=True,
    type=Place(),
    help="Directory of Omniglot's images.",
)
@click.option(
    "--miniimagenet",
    default="data/miniimagenet",
    show_default=True,
    type=Place(),
    help="Directory of Mini-ImageNet's images.",
)
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
    from supervised_reptile.cli.reproduce import reproduce

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
