"""`reptile sine`: the smallest complete example of the method."""

from __future__ import annotations

from supervised_reptile.cli.run_command import run_command
from supervised_reptile.config import IMAGES, fields_of
from supervised_reptile.paper.sine.config import SineConfig
from supervised_reptile.paper.sine.waves import Waves
from supervised_reptile.training.sources import Source

EPILOG = """\b
Examples:
  {script} --out runs/sine
  {script} --out runs/relu --activation relu --no-compare
  {script} --out runs/foml --algorithm foml
  {script} --out runs/sine --resume
"""


def waves_of(config: SineConfig) -> Waves:
    """The waves that `config` describes."""
    return Waves(
        config.train_shots,
        (config.x_min, config.x_max),
        (config.amplitude_min, config.amplitude_max),
        (0.0, config.phase_max),
    )


sine = run_command(
    "Learn an initialization from which a few gradient steps on 10 points fit a new sine wave "
    "(the paper's example, with the settings of its published script). Prints the loss on one wave "
    "during training and on new waves at the end, and plots both.",
    Source(
        "reptile sine",
        "MLP",
        waves_of,
        config=SineConfig,
        program="supervised_reptile.paper.sine.program",
    ),
    omit=(
        "data_dir",
        "way",
        "look_episodes",
        "log_alignment",
        "transductive",
        "precision",
        "val_classes",
        "both_modes",
        "eval_splits",
        *fields_of(IMAGES),
    ),
    epilog=EPILOG,
)
