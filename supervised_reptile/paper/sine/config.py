"""SineConfig: the hyper-parameters of the sine waves, which are Config's with other defaults."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import click

from supervised_reptile.config import (
    COUNT,
    EVALUATION,
    EXECUTION,
    IN_CHECKPOINT,
    MOST_IN_EPISODE,
    PLACE,
    RATE,
    SEED,
    Config,
    Count,
    Finite,
    flag,
)
from supervised_reptile.errors import SettingsError, counted
from supervised_reptile.system.path_type import Place

NUMBER = Finite()
MOST_WEIGHTS = 10**7


@dataclass(frozen=True)
class SineConfig(Config):
    """One run on sine waves. Raises SettingsError where two values contradict each other."""

    kind: ClassVar[str] = "sine waves"
    measure: ClassVar[str] = "loss"

    pretrained: str | None = flag(
        "--pretrained",
        None,
        "Evaluate the weights in the --out directory without training.",
        PLACE,
        type=Place(),
        is_flag=False,
        flag_value=IN_CHECKPOINT,
        metavar="",  # names of weights are refused: there are none of sine waves
    )
    seed: int = flag(
        "--seed", 0, "Random seed of the initial weights and the training tasks.", type=SEED
    )
    checkpoint: str = flag(
        "--out",
        "runs/sine",
        "Run directory for the configuration, metrics, checkpoints, results and figures.",
        PLACE,
        type=Place(),
    )
    way: int = flag("--classes", 1, "A task is one wave.", type=COUNT)
    shots: int = flag(
        "--shots", 10, "Support points: how many points of a new wave to fit.", EVALUATION, COUNT
    )
    train_shots: int = flag(
        "--points", 50, "Evenly spaced points per curve; a training task uses them all.",
        type=Count(1, 10_000),
    )  # fmt: skip
    inner_batch: int = flag("--inner-batch", 10, "Points per inner batch.", type=COUNT)
    inner_steps: int = flag("--inner-iters", 5, "Inner steps per training task.", type=COUNT)
    inner_rate: float = flag(
        "--learning-rate", 0.02, "Step size of the inner optimizer.", type=RATE
    )
    outer_step_size_final: float = flag(
        "--meta-step-final",
        0.0,
        "Outer step size at the end of training; it changes linearly.",
        type=RATE,
    )
    outer_steps: int = flag("--meta-iters", 30_000, "Number of outer steps.", type=COUNT)
    eval_batch: int = flag(
        "--eval-batch", 10, "Points per inner batch in evaluation.", EVALUATION, COUNT
    )
    eval_steps: int = flag("--eval-iters", 32, "Inner steps in evaluation.", EVALUATION, COUNT)
    eval_episodes: int = flag(
        "--eval-samples", 1000, "Number of new waves for the final loss.", EVALUATION, COUNT
    )
    eval_interval: int = flag(
        "--eval-interval", 1000, "Evaluate on the plotted wave every N outer steps.", type=COUNT
    )
    sgd: bool = flag("--sgd/--adam", True, "Inner optimizer: plain SGD or Adam with beta1 = 0.")
    tail_shots: int | None = flag(
        "--foml-tail",
        None,
        "For FOML and MAML: reserve this many points for the last inner batch.",
        type=COUNT,
    )
    save_interval: int = flag(
        "--save-interval", 10_000, "Save a checkpoint every N outer steps.", EXECUTION, COUNT
    )
    eval_seed: int = flag("--eval-seed", 0, "Random seed of the new waves.", EVALUATION, SEED)
    activation: str = flag(
        "--activation",
        "tanh",
        "Activation of the hidden layers. The paper uses ReLU, its published script tanh.",
        type=click.Choice(("tanh", "relu")),
    )
    hidden_units: int = flag("--hidden-units", 64, "Units per hidden layer.", type=Count(1, 4096))
    hidden_layers: int = flag("--hidden-layers", 2, "Number of hidden layers.", type=Count(1, 100))
    amplitude_min: float = flag("--amplitude-min", 0.1, "Smallest amplitude.", type=NUMBER)
    amplitude_max: float = flag("--amplitude-max", 5.0, "Largest amplitude.", type=NUMBER)
    phase_max: float = flag(
        "--phase-max",
        2 * math.pi,
        "Largest phase (the smallest is 0); 2 pi by default.",
        type=NUMBER,
    )
    x_min: float = flag("--x-min", -5.0, "First point of a curve.", type=NUMBER)
    x_max: float = flag("--x-max", 5.0, "Last point of a curve.", type=NUMBER)
    compare: bool = flag(
        "--compare/--no-compare",
        True,
        "After training, also train with the other algorithms, each in its own run directory in "
        "--out, and plot how all of them adapt.",
        EXECUTION,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for broken, message in (
            (
                self.shots > self.train_shots,
                f"--shots {self.shots}: a curve has only {counted(self.train_shots, 'point')}; "
                "give fewer, or more --points",
            ),
            (
                self.amplitude_min > self.amplitude_max,
                f"--amplitude-min {self.amplitude_min:g} is above --amplitude-max "
                f"{self.amplitude_max:g}",
            ),
            (
                self.x_min >= self.x_max,
                f"--x-min {self.x_min:g} is not below --x-max {self.x_max:g}",
            ),
            (
                self.hidden_layers * self.hidden_units**2 > MOST_WEIGHTS,
                f"--hidden-layers {self.hidden_layers} x --hidden-units {self.hidden_units}: more "
                f"than {MOST_WEIGHTS:,} weights; give fewer",
            ),
            (
                self.eval_steps * self.train_shots > MOST_IN_EPISODE,
                f"--eval-iters {self.eval_steps} x --points {self.train_shots}: more than "
                f"{MOST_IN_EPISODE:,} predictions of a wave; give fewer",
            ),
        ):
            if broken:
                raise SettingsError(message)
