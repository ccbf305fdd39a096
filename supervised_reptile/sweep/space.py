"""SPACE.toml: the flags that a sweep varies, as Optuna's distributions, and how it searches."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import click

from supervised_reptile.cli.datasets import miniimagenet, omniglot
from supervised_reptile.cli.run_command import Parsed, RunCommand, interpret
from supervised_reptile.cli.train import train
from supervised_reptile.config import COUNT, Config, Count, Rate, transduction_modes
from supervised_reptile.errors import UserError

Point = Mapping[str, Any]  # flag without dashes -> value

COMMANDS = {"omniglot": omniglot, "miniimagenet": miniimagenet, "train": train}
METHODS = ("grid", "random", "tpe", "cma-es")
# The table [search]: click checks it as it checks flags.
SEARCH = [
    click.Option(["--command"], type=click.Choice(tuple(COMMANDS)), default="omniglot"),
    click.Option(["--method"], type=click.Choice(METHODS), required=True),
    click.Option(["--early-stopping"], type=click.Choice(("asha", "none")), default="none"),
    click.Option(["--grace"], type=Rate(0, 1, min_open=True, max_open=True), default=1 / 9),
    click.Option(["--reduction"], type=Rate(1, 1000, min_open=True, max_open=True), default=3),
    click.Option(["--objective"], type=click.Choice(("transductive", "non-transductive"))),
    click.Option(["--seed"], type=Count(0, 2**32 - 1), default=0),
    click.Option(["--training-images"], type=COUNT),
]
TABLES = {"search": dict, "space": dict, "fixed": dict, "first": list}
# Flags that every trial has from the sweep itself; and those under which accuracies differ.
MANAGED = (
    "checkpoint", "data-dir", "threads", "eval-splits", "resume", "overwrite", "pretrained", "help",
)  # fmt: skip
MEASURE = (
    "seed", "classes", "shots", "eval-samples", "eval-seed", "transductive", "both-modes",
    "val-classes", "split", "skip-broken",
)  # fmt: skip
SPLIT = "val"  # whose accuracy chooses
MOST_COMBINATIONS = 512  # that contradictions are looked for in
MOST_POINTS = 10_000  # of a grid


@dataclasses.dataclass(frozen=True)
class Space:
    """A sweep as its file describes it."""

    command: RunCommand  # the run script
    search: Mapping[str, Any]  # the table [search], with defaults; names as in Python
    distributions: Mapping[str, Any]  # flag -> Optuna's distribution
    fixed: Point
    first: list[Point]  # tried before the search chooses; all points of a grid
    written: Mapping[str, Any]  # the file

    def mode(self, config: Config) -> str:
        """The transduction mode whose accuracy is the objective: training's by default."""
        return (self.search["objective"] or transduction_modes(config)[0]).replace("-", "_")

    def words(self, point: Point) -> list[str]:
        """The flags of a trial: what the file fixes, and `point`."""
        words, options = [], options_of(self.command)
        for name, value in {**self.fixed, **point}.items():
            if value is False and name in options:
                words += options[name].secondary_opts[:1]  # without any, off is the default
            else:
                words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
        if total := self.search["training_images"]:
            config = self.parse(words).config
            images = config.meta_batch * config.inner_steps * config.inner_batch
            words += ["--meta-iters", str(max(1, round(Fraction(total, images))))]
        return words

    def parse(self, words: list[str], data_dir: str = "DIR") -> Parsed:
        """What the run script makes of flags; click.UsageError where it refuses them."""
        words = [*self.data(data_dir), *words]
        return interpret(self.command.make_context("trial", words))

    def data(self, data_dir: str) -> list[str]:
        """How the run script is told where the images are."""
        return ["--data-dir", data_dir] if "data-dir" in options_of(self.command) else [data_dir]


class Sweep(NamedTuple):
    """What was asked for. Paths are absolute: trials may run anywhere."""

    space: Space
    data_dir: str
    out: Path
    trials: int
    jobs: int | None  # trials at once; None: as many as the cluster has room for
    threads: int  # of each trial
    gpus: float  # of each trial
    address: str | None  # of a Ray cluster

    def parse(self, number: str, point: Point) -> Parsed:
        """The command line of a trial, without --resume."""
        words = ["--checkpoint", str(self.out / "trials" / number), "--eval-splits", SPLIT]
        words += ["--threads", str(self.threads), *self.space.words(point)]
        return self.space.parse(words, self.data_dir)


def options_of(command: RunCommand) -> dict[str, Any]:
    """Flag without dashes -> option of the run script."""
    return {max(p.opts, key=len).lstrip("-"): p for p in command.params}


def combinations(distributions: Mapping[str, Any], most: int) -> list[Point]:
    """Points made of choices and of the ends of ranges, at most so many."""
    lists = (getattr(d, "choices", None) or (d.low, d.high) for d in distributions.values())
    points = itertools.islice(itertools.product(*lists), most)
    return [dict(zip(distributions, point, strict=True)) for point in points]


def read_space(path: Path) -> Space:
    """The sweep that a file describes; UserError, in one line, if something in it is wrong."""
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        import tomli as tomllib
    try:
        space = _space(tomllib.loads(path.read_text(encoding="utf-8-sig")))
        for point in (*space.first, *combinations(space.distributions, MOST_COMBINATIONS)):
            _check_point(space, point)
    except (UserError, OSError, ValueError, TypeError, OverflowError) as error:
        raise UserError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    except click.UsageError as error:
        raise UserError(f"{path}: {' '.join(error.format_message().split())}") from error
    return space


def _space(content: dict[str, Any]) -> Space:
    tables = {**{name: kind() for name, kind in TABLES.items()}, **content}
    for name, table in tables.items():
        if name not in TABLES or not isinstance(table, TABLES[name]):
            raise UserError(f"[{name}] is none of [search], [space], [fixed] and [[first]]")
    words = [word for name, value in tables["search"].items() for word in (f"--{name}", str(value))]
    search = click.Command("search", params=[*SEARCH]).make_context("[search]", words).params
    command, fixed, first = COMMANDS[search["command"]], tables["fixed"], tables["first"]
    options = options_of(command)
    distributions = {n: _distribution(options, n, d) for n, d in tables["space"].items()}
    _check_tables(search, distributions, fixed)
    if search["method"] == "grid":
        first = combinations(distributions, MOST_POINTS)
        if len(first) == MOST_POINTS:
            raise UserError(f"a grid of {MOST_POINTS:,} points or more: give fewer values")
    return Space(command, search, distributions, fixed, first, content)


def _distribution(options: Mapping[str, Any], name: str, written: Any) -> Any:
    """Optuna's distribution of a flag: a list of choices, or a range."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(written, list):
        if len(set(written)) < len(written):
            raise UserError(f"{name} = {written}: a value is there twice")
        return CategoricalDistribution(written)
    match list(written.items()) if isinstance(written, dict) else ():
        case [("linear" | "log" | "int" | "log-int" as kind, [low, high])]:
            takes, log = getattr(options.get(name), "type", None), kind.startswith("log")
            if isinstance(takes, click.types.IntParamType):
                return IntDistribution(low, high, log)
            if isinstance(takes, click.types.FloatParamType) and not kind.endswith("int"):
                return FloatDistribution(low, high, log)
            raise UserError(f"{name}: --{name} takes no {kind} range; give a list of its values")
    raise UserError(
        f"{name} = {written}: give a list of values, or a range as in {{ log = [1e-4, 1e-2] }} "
        "(linear, log, int, log-int); what all trials share belongs into [fixed]"
    )


def _check_tables(search: Point, varied: Mapping[str, Any], fixed: Point) -> None:
    """Refuse flags in the wrong table, and what the method does not take (UserError)."""
    if not varied:
        raise UserError("the table [space] is missing")
    for name in (*varied, *fixed):
        if name in MANAGED:
            raise UserError(f"{name}: it comes from reptile sweep (--out, --data-dir, --threads)")
        if name in varied and name in (*MEASURE, *fixed):
            raise UserError(f"{name} cannot vary, or is in two tables: put it into [fixed] alone")
    ranges = [name for name in varied if not hasattr(varied[name], "choices")]
    if search["method"] == "cma-es" and len(ranges) < max(2, len(varied)):
        raise UserError("cma-es takes two or more ranges, and no lists; try tpe")
    if search["method"] == "grid" and ranges:
        raise UserError(f"{ranges[0]} is a range in a grid: give values, or another method")
    if search["training_images"] and "meta-iters" in (*fixed, *varied):
        raise UserError("meta-iters follows from training-images: leave one of them out")


def _check_point(space: Space, point: Point) -> None:
    """Refuse points outside of the space, and flags that contradict each other (UserError)."""
    from optuna.trial import create_trial

    create_trial(value=0.0, params=dict(point), distributions=dict(space.distributions))
    config = space.parse(space.words(point)).config
    if "val-classes" in options_of(space.command) and not config.val_classes:
        raise UserError("no validation classes, which choose: set val-classes = 100 in [fixed]")
    if space.mode(config) not in transduction_modes(config):
        raise UserError(f"objective {space.mode(config)}: set both-modes = true in [fixed]")
