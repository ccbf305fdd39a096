"""Space: which flags a sweep varies, how it searches, and what all trials share."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

import click

from supervised_reptile.cli.datasets import miniimagenet, omniglot
from supervised_reptile.cli.run_command import RunCommand, interpret
from supervised_reptile.cli.train import train
from supervised_reptile.config import NON_TRANSDUCTIVE, TRANSDUCTIVE, Config, transduction_modes
from supervised_reptile.sweep.dimensions import (
    Dimension,
    Value,
    flag_name,
    grid_size,
)

COMMANDS: Mapping[str, RunCommand] = {
    "omniglot": omniglot,
    "miniimagenet": miniimagenet,
    "train": train,
}
OBJECTIVES = {
    "transductive": TRANSDUCTIVE,
    "non-transductive": NON_TRANSDUCTIVE,
}
Point = Mapping[str, Value]  # flag -> value


@dataclass(frozen=True)
class EarlyStopping:
    """Asynchronous successive halving (Li et al. 2020, arXiv 1810.05934)."""

    grace: float = 1 / 9  # share of a trial's outer steps before it may be stopped
    reduction: float = 3  # of the trials at each rung, the best 1 / reduction go on


@dataclass(frozen=True)
class Space:
    """A sweep as its file describes it."""

    command: str  # a key of COMMANDS
    method: str  # one of METHODS
    dimensions: Mapping[str, Dimension]
    fixed: Point
    first: tuple[Point, ...] = ()  # tried before the search chooses
    early_stopping: EarlyStopping | None = None
    objective: str | None = None  # a key of OBJECTIVES; None: the mode that training watches
    seed: int = 0
    training_images: int | None = None  # of every trial, instead of outer steps

    @property
    def grid_size(self) -> int | None:
        """How many trials a grid has; None of another search, which has no end."""
        return grid_size(list(self.dimensions.values())) if self.method == "grid" else None

    def words(self, point: Point) -> list[str]:
        """The flags of a trial: what the file fixes, and `point`."""
        words = flag_words(self.command, {**self.fixed, **point})
        if self.training_images:
            config = configuration(self.command, words)
            images = config.meta_batch * config.inner_steps * config.inner_batch
            words += ["--meta-iters", str(max(1, round(Fraction(self.training_images, images))))]
        return words

    def mode(self, config: Config) -> str:
        """The transduction mode whose accuracy is the objective."""
        return OBJECTIVES[self.objective] if self.objective else transduction_modes(config)[0]


def options_of(command: str) -> dict[str, click.Option]:
    """Flag without dashes -> option."""
    options = COMMANDS[command].params
    return {flag_name(option): option for option in options if isinstance(option, click.Option)}


def flag_words(command: str, values: Point) -> list[str]:
    """The flags of the command that give it `values`."""
    options, words = options_of(command), []
    for name, value in values.items():
        if value is False:
            words += options[name].secondary_opts[:1]  # where there is none, off is the default
        elif value is True:
            words.append(f"--{name}")
        else:
            words += [f"--{name}", str(value)]
    return words


def data_words(command: str, data_dir: str) -> list[str]:
    """How the command is told where the images are."""
    return ["--data-dir", data_dir] if "data-dir" in options_of(command) else [data_dir]


def configuration(command: str, words: list[str], data_dir: str = "DIR") -> Config:
    """What the command makes of flags (click.UsageError where they contradict each other)."""
    context = COMMANDS[command].make_context(command, [*data_words(command, data_dir), *words])
    return interpret(context).config


def extremes(space: Space) -> Iterator[Point]:
    """All combinations of listed values and of the ends of ranges, and the first points."""
    yield from space.first
    for values in itertools.product(*(d.ends for d in space.dimensions.values())):
        yield dict(zip(space.dimensions, values, strict=True))
