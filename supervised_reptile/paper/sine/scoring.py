"""The losses of a learner on waves: on the plotted one during training, on new ones at the end."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import numpy as np

from supervised_reptile.algorithms.learner import Learner
from supervised_reptile.data.episodes import Purpose, Stream, Tasks, TaskShape
from supervised_reptile.errors import Interrupted
from supervised_reptile.paper.sine.config import SineConfig
from supervised_reptile.paper.sine.figures import PlottedWave
from supervised_reptile.paper.sine.fit import Fitter, Start, losses, start_of
from supervised_reptile.paper.sine.waves import Waves, draw_waves
from supervised_reptile.runs.read_only_run import AnyRun
from supervised_reptile.system.progress_bar import Bar
from supervised_reptile.system.stop_signals import StopSignals
from supervised_reptile.training.evaluation import NOTHING_STORED
from supervised_reptile.training.monitor import Monitor

TOGETHER = 50  # waves between two chances to stop
FRAMES_PER_EVALUATION = (4, 2, 1)  # of the animation; the first that divides --eval-interval
SHOWN = 5  # predictions of the plotted wave that are drawn, from step 0 to the last


def evaluation_shape(config: SineConfig) -> TaskShape:
    """How the points of a new wave are drawn and cut."""
    return TaskShape(1, config.shots, config.eval_steps, config.eval_batch, config.replacement)


def shown_steps(steps: int) -> np.ndarray:
    """Inner steps after which predictions are drawn, int [up to SHOWN]: 0, 8, 16, 24, 32 of 32."""
    return np.unique(np.linspace(0, steps, SHOWN).round().astype(int))


class WaveEvaluator:
    """Measures a learner's losses on waves."""

    def __init__(
        self, config: SineConfig, waves: Waves, learner: Learner, fitter: Fitter | None = None
    ) -> None:
        """fitter: of a run with the same network and inner rule, whose compiled code serves."""
        self.config = config
        eval_interval = config.eval_interval
        self.interval = eval_interval // next(
            n for n in FRAMES_PER_EVALUATION if eval_interval % n == 0
        )
        self._waves = waves
        self._learner = learner
        self.fitter = fitter or Fitter(learner.problem, waves.inputs)
        show = Stream(config.seed, Purpose.SHOW)
        self._shown = self._draw(show, range(1))

    @property
    def plotted(self) -> PlottedWave:
        """The wave that figures show; it depends on config.seed."""
        task = self._shown
        return PlottedWave(
            self._waves.inputs[:, 0],
            task.query_labels[0, :, 0],
            task.support_rows[0],
            shown_steps(self.config.eval_steps),
        )

    def fit_plotted(self, start: Start | None = None) -> np.ndarray:
        """Predictions of the plotted wave, float [shown steps, points], from `start` or by now."""
        predictions = self.fitter(start or start_of(self._learner), self._shown)[0]
        return predictions[shown_steps(self.config.eval_steps)]

    def monitor(self, step: int) -> dict[str, float]:
        """The loss on the plotted wave after all inner steps; it is the same wave at every step."""
        predictions = self.fitter(start_of(self._learner), self._shown)
        return {"loss": float(losses(predictions, self._shown)[0, -1])}

    def align(self, step: int) -> None:
        """Waves have no such log."""

    def fit_new(self, start: Start | None = None) -> np.ndarray:
        """Losses on config.eval_episodes new waves, float64 [waves, inner steps + 1].

        Which waves is a function of config.eval_seed, so that runs compare.

        Raises:
          Interrupted: SIGINT or SIGTERM came.
        """
        start = start or start_of(self._learner)
        stream, total = Stream(self.config.eval_seed, Purpose.EVALUATE), self.config.eval_episodes
        parts = []
        bar = Bar(total=total, desc="new waves", unit="wave", leave=False)
        with bar, StopSignals() as stop:
            for first in range(0, total, TOGETHER):
                tasks = self._draw(stream, range(first, first + TOGETHER))
                parts.append(losses(self.fitter(start, tasks), tasks))
                bar.update(TOGETHER)
                if stop.received:
                    raise Interrupted(NOTHING_STORED, stop.received)
        return np.concatenate(parts)[:total]

    def _draw(self, stream: Stream, tasks: range) -> Tasks:
        return draw_waves(self._waves, evaluation_shape(self.config), stream, range(1), tasks)


class WaveMonitor(Monitor):
    """Follows the plotted wave: its loss now and then, its predictions more often."""

    def __init__(self, evaluator: WaveEvaluator, run: AnyRun, quiet: bool = False) -> None:
        super().__init__(evaluator, run)
        self._waves = evaluator
        self._quiet = quiet

    def evaluate(self, step: int) -> None:
        """Log the predictions, and measure, log and show the loss where it is due."""
        self._run.log_fit(step, self._waves.fit_plotted())
        if step % self._waves.config.eval_interval == 0:
            super().evaluate(step)

    def show(self, step: int, accuracies: Mapping[str, float]) -> None:
        """Print a line, above the progress bar."""
        if not self._quiet:
            loss = accuracies["loss"]
            self._bar.write(f"after outer step {step}: loss on the plotted wave {loss:.4f}")
            sys.stdout.flush()
