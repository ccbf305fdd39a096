"""Config: every hyper-parameter once, as field, command-line flag, default and help together.

Fields carry the field's standard terms (way, shots, inner steps, outer step size ...);
flags keep the names of the original program, so that published command lines run
unchanged. The mapping between the two is this table and nowhere else.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import click

from supervised_reptile.errors import SettingsError, counted
from supervised_reptile.system.package_files import PRETRAINED
from supervised_reptile.system.path_type import Place

if TYPE_CHECKING:
    import numpy as np

# What a field decides, and so when a stored run may be continued or evaluated with another value.
TRAINING = "training"  # the trained weights: fixed for the life of a run
IMAGES = "images"  # what is made of the files: fixed for a run; None where it was not stored
EVALUATION = "evaluation"  # the sizes of the evaluation: fixed until training is complete
MEASURED = "measured"  # which accuracies: as EVALUATION, but --pretrained inherits none
DATA = "data"  # where the images are: free to move
EXECUTION = "execution"  # how the program runs: never part of the result
PLACE = "place"  # which run, and whether to train it: never inherited

# Roles of the fields that a command line inherits where it does not give them.
RESUMED = (TRAINING, IMAGES, EVALUATION, MEASURED, DATA, EXECUTION)
EVALUATED = (TRAINING, IMAGES, EVALUATION, DATA, EXECUTION)  # a run with --pretrained
EVALUATED_BY_NAME = (TRAINING, IMAGES, EVALUATION)  # other weights, maybe on other images

IN_CHECKPOINT = "checkpoint"  # --pretrained without a name

ALGORITHMS = ("reptile", "foml", "maml", "joint")
TAILED = ("foml", "maml")  # algorithms whose last inner batch is a tail
OUTER_OPTIMIZERS = ("sgd", "momentum", "adam")
ALL_SPLITS = "all"

# The two ways to classify an episode's queries.
TRANSDUCTIVE = "transductive"  # all in one forward pass, so that they share batch statistics
NON_TRANSDUCTIVE = "non_transductive"  # each together with the support set only


def flag(
    name: str, default: Any, help: str, role: str = TRAINING, type: Any = None, **click_options: Any
) -> Any:
    """A field of Config that is also the command-line option `name`."""
    option = {"default": default, "help": help, "type": type, **click_options}
    return field(default=default, metadata={"flag": name, "option": option, "role": role})


Number = TypeVar("Number", float, "np.ndarray")

MOST_THREADS = 1024
MOST_PIXELS = 4096  # a side of an image
MOST = 10**9  # of anything: TensorFlow counts in 32 bits
# Images (or points) in all inner batches of an outer step, or of an episode: 8 bytes and more each.
MOST_IN_STEP, MOST_IN_EPISODE = 10**7, 10**6


class Count(click.IntRange):
    """An integer from `min` to `most`; help does not mention the large upper limit."""

    def __init__(self, min: int = 1, most: int = MOST) -> None:
        super().__init__(min=min)
        self._most = most

    def convert(self, value, param, ctx):
        number = super().convert(value, param, ctx)
        if number > self._most:
            self.fail(f"{value} is more than {self._most:,}", param, ctx)
        return number


COUNT = Count()


class Rate(click.FloatRange):
    """A finite number within limits; click's own types let nan and inf pass."""

    def convert(self, value, param, ctx):
        return _finite(self, super().convert(value, param, ctx), param, ctx)


class Finite(click.types.FloatParamType):
    """Any finite number."""

    def convert(self, value, param, ctx):
        return _finite(self, super().convert(value, param, ctx), param, ctx)


def _finite(kind: click.ParamType, number: float, param: Any, ctx: Any) -> float:
    if not math.isfinite(number):
        kind.fail(f"{number} is not a finite number", param, ctx)
    return number


SEED = Count(0, 2**63 - 1)
RATE = Rate(min=0)


class Shares(click.ParamType):
    """Three shares of the classes, as in 0.64,0.16,0.2, in that form."""

    name = "train,val,test"

    def convert(self, value, param, ctx) -> str:
        try:
            numbers = [float(share) for share in value.split(",")]
        except ValueError:
            self.fail(f"{value!r} is not three numbers with commas between them", param, ctx)
        if len(numbers) != 3 or min(numbers) < 0 or not abs(sum(numbers) - 1) <= 1e-6:
            self.fail(f"{value!r}: give three shares that add up to 1", param, ctx)
        if not numbers[0]:
            self.fail(f"{value!r} leaves no classes to train on", param, ctx)
        return ",".join(f"{share:.12g}" for share in numbers)


@dataclass(frozen=True)
class Config:
    """One run. Raises SettingsError, a ValueError, if two values contradict each other."""

    kind: ClassVar[str] = "images"  # what is learnt; a run directory remembers it
    measure: ClassVar[str] = "accuracy"  # what training evaluates

    pretrained: str | None = flag(
        "--pretrained",
        None,
        "Evaluate without training. Without NAME: the weights in the --checkpoint directory. NAME "
        f"is another run directory, an .npz file or shipped weights ({' or '.join(PRETRAINED)}).",
        PLACE,
        type=Place(),
        is_flag=False,
        flag_value=IN_CHECKPOINT,
        metavar="[NAME]",
    )
    seed: int = flag(
        "--seed",
        0,
        "Random seed of the class split, the initial weights and the training tasks.",
        type=SEED,
    )
    checkpoint: str = flag(
        "--checkpoint",
        "model_checkpoint",
        "Run directory for the configuration, metrics, checkpoints and results.",
        PLACE,
        type=Place(),
    )
    data_dir: str = flag("--data-dir", "data", "Directory of the images.", DATA, type=Place())
    way: int = flag("--classes", 5, "Classes per task (way).", type=COUNT)
    shots: int = flag("--shots", 5, "Support examples per class in evaluation.", EVALUATION, COUNT)
    train_shots: int = flag(
        "--train-shots",
        0,
        "Examples per class in a training task; 0 uses --shots.",
        type=Count(0),
    )
    inner_batch: int = flag("--inner-batch", 5, "Examples per inner batch.", type=COUNT)
    inner_steps: int = flag("--inner-iters", 20, "Inner steps per training task.", type=COUNT)
    replacement: bool = flag(
        "--replacement",
        False,
        "Draw each inner batch independently instead of cycling through the examples.",
        is_flag=True,
    )
    inner_rate: float = flag(
        "--learning-rate", 1e-3, "Step size of the inner optimizer.", type=RATE
    )
    outer_step_size: float = flag(
        "--meta-step", 0.1, "Outer step size at the start of training.", type=RATE
    )
    outer_step_size_final: float = flag(
        "--meta-step-final",
        0.1,
        "Outer step size at the end of training; it changes linearly.",
        type=RATE,
    )
    meta_batch: int = flag("--meta-batch", 1, "Tasks per outer step.", type=COUNT)
    outer_steps: int = flag("--meta-iters", 400_000, "Number of outer steps.", type=COUNT)
    eval_batch: int = flag(
        "--eval-batch", 5, "Examples per inner batch in evaluation.", EVALUATION, COUNT
    )
    eval_steps: int = flag("--eval-iters", 50, "Inner steps in evaluation.", EVALUATION, COUNT)
    eval_episodes: int = flag(
        "--eval-samples", 10_000, "Number of episodes for each final accuracy.", EVALUATION, COUNT
    )
    eval_interval: int = flag(
        "--eval-interval",
        10,
        "Evaluate every N outer steps during training. Long runs evaluate less often, on more "
        "query sets, at the same precision; set --look-episodes to control it exactly.",
        type=COUNT,
    )
    look_episodes: int = flag(
        "--look-episodes",
        0,
        "Evaluate exactly every --eval-interval outer steps during training, on this many "
        "episodes of each split; 0 chooses both automatically.",
        type=Count(0),
    )
    log_alignment: bool = flag(
        "--log-alignment",
        False,
        "At every evaluation during training, also log how well gradients of different "
        "mini-batches agree, within and between tasks, and plot it as alignment.png.",
        is_flag=True,
    )
    weight_decay: float = flag(
        "--weight-decay", 1.0, "Multiply all weights by this factor before each inner step.",
        type=RATE,
    )  # fmt: skip
    transductive: bool = flag(
        "--transductive/--no-transductive",
        False,
        "Classify all queries of an episode in one forward pass, so that they share batch "
        "statistics; otherwise, each query with the support set only. --pretrained does not "
        "take it from the stored run.",
        MEASURED,
    )
    tail_shots: int | None = flag(
        "--foml-tail",
        None,
        "For FOML and MAML: reserve this many examples per class for the last inner batch.",
        type=COUNT,
    )
    sgd: bool = flag(
        "--sgd", False, "Use plain SGD as the inner optimizer instead of Adam.", is_flag=True
    )
    algorithm: str = flag(
        "--algorithm",
        "reptile",
        "Outer update: Reptile, first-order MAML (foml), MAML (second-order; requires --sgd) or "
        "joint training (one inner step).",
        type=click.Choice(ALGORITHMS),
    )
    outer_optimizer: str = flag(
        "--outer-optimizer",
        "sgd",
        "Optimizer of the initialization; its gradient is initial - adapted weights, its learning "
        "rate the outer step size. sgd is the paper's outer step. momentum (0.9) has ten times "
        "the effective step size. adam moves every weight by about its learning rate: use a "
        "--meta-step of about 0.001.",
        type=click.Choice(OUTER_OPTIMIZERS),
    )
    task_order: str = flag(
        "--task-order",
        "chained",
        "How the tasks of a meta-batch share the inner Adam state. sequential: each task "
        "continues from the state of the one before, as in the original program. The others run "
        "tasks side by side from the same state, which is faster; the second moment is then "
        "combined as in a sequence (chained) or averaged over tasks (parallel).",
        type=click.Choice(("chained", "parallel", "sequential")),
    )
    precision: str = flag(
        "--precision",
        "float32",
        "Data type of activations and convolutions; weights, batch statistics and updates stay "
        "float32. bfloat16 is faster on processors that support it: as accurate on Mini-ImageNet, "
        "up to one point less accurate on Omniglot (docs/performance.md).",
        type=click.Choice(("float32", "bfloat16")),
    )
    val_classes: int = flag(
        "--val-classes",
        0,
        "Hold out this many training classes for validation. Evaluation during training then "
        "uses them instead of the test classes.",
        type=Count(0),
    )
    eval_seed: int = flag(
        "--eval-seed",
        0,
        "Random seed of the evaluation episodes. Runs with the same value are evaluated on the "
        "same episodes.",
        EVALUATION,
        SEED,
    )
    both_modes: bool = flag(
        "--both-modes",
        False,
        "Report both transductive and non-transductive accuracy of the same adapted weights.",
        MEASURED,
        is_flag=True,
    )
    eval_splits: str = flag(
        "--eval-splits",
        ALL_SPLITS,
        "Classes to evaluate at the end. Use val to choose between runs without touching the "
        "test classes.",
        MEASURED,
        click.Choice((ALL_SPLITS, "train", "val", "test")),
    )
    save_interval: int = flag(
        "--save-interval", 1000, "Save a checkpoint every N outer steps.", EXECUTION, COUNT
    )
    threads: int = flag(
        "--threads", 0, "Number of CPU threads; 0 uses all available. "
        "Results do not depend on it.", EXECUTION, Count(0, MOST_THREADS),
    )  # fmt: skip
    # Of `reptile train` alone.
    image_size: int | None = flag(
        "--image-size",
        None,
        "Height and width in pixels; by default the images' own if all are alike, at most 84.",
        IMAGES,
        Count(8, MOST_PIXELS),
    )
    grey: bool | None = flag(
        "--grey/--colour",
        None,
        "Use one channel or three; by default grey if every image is.",
        IMAGES,
        bool,
    )
    split: str | None = flag(
        "--split",
        None,
        "Shares of the classes for training, validation and test, drawn by --seed.",
        IMAGES,
        Shares(),
    )
    skip_broken: bool | None = flag(
        "--skip-broken",
        None,
        "Leave broken images out instead of stopping.",
        IMAGES,
        bool,
        is_flag=True,
    )

    def __post_init__(self) -> None:
        for broken, message in (
            (
                self.algorithm == "joint" and self.inner_steps != 1,
                "--algorithm joint means one inner step: leave --inner-iters out or give 1",
            ),
            (
                self.algorithm == "maml" and not self.sgd,
                "--algorithm maml differentiates through inner steps of plain SGD: give --sgd too",
            ),
            (
                self.tail_shots is not None and self.algorithm not in TAILED,
                "--foml-tail needs --foml (or --algorithm foml) or --algorithm maml",
            ),
            (
                self.tail_shots is not None and self.tail_shots >= self.task_shots,
                f"--foml-tail {self.tail_shots} leaves nothing of the "
                f"{counted(self.task_shots, 'example')} per class for the inner batches before "
                "it: give fewer, or more --train-shots",
            ),
        ):
            if broken:
                raise SettingsError(message)
        self._check_size(MOST_IN_STEP, "an outer step", "meta_batch", "inner_steps", "inner_batch")
        self._check_size(MOST_IN_EPISODE, "an episode", "eval_steps", "eval_batch")
        self._check_size(MOST_IN_STEP, "an evaluation", "look_episodes", "eval_steps", "eval_batch")

    def _check_size(self, most: int, what: str, *names: str) -> None:
        """Refuse sizes that would exhaust memory or block Ctrl-C (SettingsError)."""
        values = [getattr(self, name) for name in names]
        if (product := math.prod(values)) > most:
            kind = type(self)
            factors = " x ".join(
                f"{flag_of(name, kind)} {value}" for name, value in zip(names, values, strict=True)
            )
            raise SettingsError(
                f"{factors}: {what} would have {product:,} examples in its inner batches, and "
                f"{most:,} is the most"
            )

    @property
    def task_shots(self) -> int:
        """Examples per class of a training task: --train-shots, or --shots if that is 0."""
        return self.train_shots or self.shots

    def outer_step_size_at(self, step: Number) -> Number:
        """Outer step size at outer step `step`, a number or an array, from 0: linear annealing."""
        done = step / self.outer_steps
        return (1 - done) * self.outer_step_size + done * self.outer_step_size_final

    def to_json(self) -> str:
        """Field names and values, one a line."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Config:
        """Reads `to_json`; fields missing in older runs get their defaults.

        Raises ValueError on anything else.
        """
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError("it is not a table of fields")
        if unknown := set(values) - {f.name for f in dataclasses.fields(cls)}:
            raise ValueError(f"this program does not know {', '.join(sorted(unknown))}")
        for item in dataclasses.fields(cls):
            if item.name in values:
                _check_value(item, values[item.name])
        return cls(**values)


def _check_value(item: dataclasses.Field, value: Any) -> None:
    """Refuse a stored value that the field's flag would not accept (ValueError)."""
    if value is None and item.default is None:
        return
    option = item.metadata["option"]
    kind = click.types.convert_type(option["type"], option["default"])
    try:
        taken = kind.convert(value, None, None)
    except click.UsageError as error:
        raise ValueError(f"{item.name}: {error}") from error
    except (ArithmeticError, AttributeError, TypeError):
        taken = ...
    whole = isinstance(taken, float) and isinstance(value, int)  # 1 for 1.0
    is_text = isinstance(value, str) or not isinstance(item.default, str)  # paths take anything
    if not is_text or (type(taken) is not type(value) and not whole):
        raise ValueError(f"{item.name}: {value!r} is not of the right type")


def transduction_modes(config: Config) -> tuple[str, ...]:
    """The mode that was asked for, then the other one if both were."""
    modes = (TRANSDUCTIVE, NON_TRANSDUCTIVE) if config.transductive else (
        NON_TRANSDUCTIVE, TRANSDUCTIVE,
    )  # fmt: skip
    return modes if config.both_modes else modes[:1]


def names_weights(config: Config) -> bool:
    """Whether --pretrained has a NAME, so that --checkpoint is not used."""
    return config.pretrained not in (None, IN_CHECKPOINT)


def flag_of(name: str, kind: type[Config] = Config) -> str:
    """The command-line flag of the field `name`, without the --no- form."""
    return kind.__dataclass_fields__[name].metadata["flag"].split("/")[0]


def fields_of(*roles: str, kind: type[Config] = Config) -> tuple[str, ...]:
    """Names of the fields that have one of the roles."""
    return tuple(f.name for f in dataclasses.fields(kind) if f.metadata["role"] in roles)


def differing_flags(
    stored: Config, wanted: Config, explicit: Collection[str], roles: tuple[str, ...]
) -> list[str]:
    """One text per field of `explicit` with one of the `roles` whose two values differ."""

    def is_known(f: dataclasses.Field) -> bool:
        return f.metadata["role"] != IMAGES or getattr(stored, f.name) is not None

    return [
        f"{flag_of(f.name, type(stored))} is {getattr(stored, f.name)} there and "
        f"{getattr(wanted, f.name)} here"
        for f in dataclasses.fields(stored)
        if f.name in explicit
        and f.metadata["role"] in roles
        and is_known(f)
        and getattr(stored, f.name) != getattr(wanted, f.name)
    ]


def fill_from(
    stored: Config, wanted: Config, explicit: Collection[str], roles: tuple[str, ...]
) -> Config:
    """`wanted`, with every flag of `roles` that is not `explicit` taken from `stored`.

    A stored --train-shots 0 means the stored --shots, whatever --shots are given now.
    """
    stored_values = {
        f.name: getattr(stored, f.name)
        for f in dataclasses.fields(stored)
        if f.name not in explicit and f.metadata["role"] in roles
    }
    if "shots" in explicit and "train_shots" not in explicit:
        stored_values["train_shots"] = stored.task_shots
    return dataclasses.replace(wanted, **stored_values)


def config_options(
    omit: tuple[str, ...] = (), kind: type[Config] = Config, **defaults: Any
) -> Callable[[Callable], Callable]:
    """Decorator: the click options of all fields but `omit`; `defaults` override their defaults."""

    def decorate(command: Callable) -> Callable:
        for item in reversed(dataclasses.fields(kind)):
            if item.name in omit:
                continue
            option = dict(item.metadata["option"])
            option["default"] = defaults.get(item.name, option["default"])
            shown = option["default"] is not None and option["default"] is not False
            command = click.option(item.metadata["flag"], item.name, show_default=shown, **option)(
                command
            )
        return command

    return decorate


def config_from_flags(
    values: Mapping[str, Any], explicit: set[str], kind: type[Config] = Config
) -> Config:
    """The Config of parsed flags; `explicit` names the fields given on the command line."""
    values = dict(values)
    if values["algorithm"] == "joint" and "inner_steps" not in explicit:
        values["inner_steps"] = 1
    try:
        return kind(**values)  # fields that are no flags of the command keep their defaults
    except SettingsError as error:
        raise click.UsageError(str(error)) from error


_OMNIGLOT_5WAY = {
    "way": 5,
    "train_shots": 10,
    "inner_rate": 1e-3,
    "inner_batch": 10,
    "inner_steps": 5,
    "outer_step_size": 1.0,
    "outer_step_size_final": 0.0,
    "meta_batch": 5,
    "outer_steps": 100_000,
    "eval_batch": 5,
    "eval_steps": 50,
}

# The paper's settings (its appendix A): each trains the weights of four cells of the tables.
PRESETS: dict[str, dict[str, Any]] = {
    "omniglot-5way": _OMNIGLOT_5WAY,
    "omniglot-20way": {
        **_OMNIGLOT_5WAY,
        "way": 20,
        "inner_rate": 5e-4,
        "inner_batch": 20,
        "inner_steps": 10,
        "outer_steps": 200_000,
        "eval_batch": 10,
    },
    "miniimagenet-5way": {
        **_OMNIGLOT_5WAY,
        "train_shots": 15,
        "inner_steps": 8,
    },
}
