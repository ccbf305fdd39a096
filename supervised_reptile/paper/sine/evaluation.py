"""Adapt a network to a few points of new waves, and measure its loss on all of their points."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from supervised_reptile.algorithms.compiled import AnyLength
from supervised_reptile.algorithms.inner_loop import (
    Examples,
    InnerState,
    Inputs,
    InputTable,
    Problem,
    inner_step,
    look_up,
)
from supervised_reptile.algorithms.learner import Learner
from supervised_reptile.data.episodes import Purpose, Stream, Tasks, TaskShape
from supervised_reptile.errors import Interrupted
from supervised_reptile.paper.sine.config import SineConfig
from supervised_reptile.paper.sine.figures import PlottedWave
from supervised_reptile.paper.sine.waves import Waves, draw_waves
from supervised_reptile.runs.read_only_run import AnyRun
from supervised_reptile.system.progress_bar import Bar
from supervised_reptile.system.stop_signals import StopSignals
from supervised_reptile.training.evaluation import NOTHING_STORED
from supervised_reptile.training.monitor import Monitor

WAVES_PER_CALL = 50  # between two chances to stop
FITS_PER_INTERVAL = (4, 2, 1)  # frames of the animation; the first that divides --eval-interval
SHOWN = 5  # predictions of the plotted wave that are drawn, from step 0 to the last


class Initialization(NamedTuple):
    """The `InnerState` that adaptation starts from, with all weights in one vector."""

    weights: tf.Tensor  # [P]
    second_moment: tf.Tensor  # [P]
    time: tf.Tensor  # scalar int64

    @classmethod
    def of(cls, learner: Learner) -> Initialization:
        variables = learner.weights, learner.second_moment, learner.time
        return cls(*(variable.read_value() for variable in variables))


class Adaptation:
    """Inner steps on the support points of waves, compiled once for all learners of a problem."""

    def __init__(self, problem: Problem, inputs: np.ndarray) -> None:
        """`inputs`: float32 [points, 1], all x of a curve."""
        self._problem = problem
        self._table = (tf.constant(inputs),)
        self._adapt = AnyLength(self._adapt_to_one, xla=True)

    def __call__(self, start: Initialization, tasks: Tasks) -> np.ndarray:
        """Predictions at all x, float [tasks, steps + 1, points], before and after each step."""
        pairs = zip(tasks.rows, tasks.labels, strict=True)
        batches = (Examples(*map(tf.constant, pair)) for pair in pairs)
        return np.stack([self._adapt(start, self._table, own).numpy() for own in batches])

    def _adapt_to_one(
        self, start: Initialization, table: InputTable, batches: Examples
    ) -> tf.Tensor:
        split = self._problem.grouping.split
        state = InnerState(split(start.weights), split(start.second_moment), start.time)
        queries = tuple(tf.cast(column, start.weights.dtype) for column in table)
        return predictions_while_adapting(self._problem, state, table, batches, queries)


def predictions_while_adapting(
    problem: Problem, start: InnerState, table: InputTable, batches: Examples, queries: Inputs
) -> tf.Tensor:
    """Outputs for `queries` [n, ...] before and after every inner step, [steps + 1, n].

    batches: rows and labels [steps, batch].
    """
    steps = tf.shape(batches.rows)[0]

    def body(
        step: tf.Tensor, state: InnerState, outputs: tf.TensorArray
    ) -> tuple[tf.Tensor, InnerState, tf.TensorArray]:
        outputs = outputs.write(step, problem.predict(state.weights, queries))
        inputs = look_up(table, batches.rows[step], state.weights)
        return step + 1, inner_step(problem, state, inputs, batches.labels[step]), outputs

    outputs = tf.TensorArray(start.weights[0].dtype, steps + 1)
    _, state, outputs = tf.while_loop(lambda step, *_: step < steps, body, (0, start, outputs))
    return outputs.write(steps, problem.predict(state.weights, queries)).stack()


def losses(predictions: np.ndarray, tasks: Tasks) -> np.ndarray:
    """Mean squared errors over all points, float64 [tasks, steps + 1], of an Adaptation."""
    truth = tasks.query_labels[:, None, :, 0].astype(np.float64)
    return np.square(predictions - truth).mean(axis=2)


def evaluation_shape(config: SineConfig) -> TaskShape:
    """How the points of a new wave are drawn and cut."""
    return TaskShape(1, config.shots, config.eval_steps, config.eval_batch, config.replacement)


class WaveEvaluator:
    """Losses of a learner: on the plotted wave during training, on new waves at the end."""

    def __init__(
        self,
        config: SineConfig,
        waves: Waves,
        learner: Learner,
        adaptation: Adaptation | None = None,
    ) -> None:
        """adaptation: of a run with the same network and inner rule, which is compiled already."""
        self.config = config
        fits = next(n for n in FITS_PER_INTERVAL if config.eval_interval % n == 0)
        self.interval = config.eval_interval // fits
        self.adaptation = adaptation or Adaptation(learner.problem, waves.inputs)
        self._waves = waves
        self._learner = learner
        # 0, 8, 16, 24, 32 of 32 inner steps
        self._shown = np.unique(np.linspace(0, config.eval_steps, SHOWN).round().astype(int))
        self._task = self._draw(Stream(config.seed, Purpose.SHOW), range(1))

    @property
    def plotted(self) -> PlottedWave:
        """The wave in the figures; it depends on config.seed."""
        truth = self._task.query_labels[0, :, 0]
        x, points = self._waves.inputs[:, 0], self._task.support_rows[0]
        return PlottedWave(x, truth, points, self._shown)

    def fit_plotted(self, start: Initialization | None = None) -> np.ndarray:
        """Predictions of the plotted wave, float [shown steps, points], by default of now."""
        return self.adaptation(start or Initialization.of(self._learner), self._task)[0][
            self._shown
        ]

    def monitor(self, step: int) -> dict[str, float]:
        """The loss on the plotted wave after all inner steps; it is the same wave at every step."""
        predictions = self.adaptation(Initialization.of(self._learner), self._task)
        return {"loss": float(losses(predictions, self._task)[0, -1])}

    def align(self, step: int) -> None:
        """Waves have no such log."""

    def losses_on_new(self, start: Initialization | None = None) -> np.ndarray:
        """Losses on config.eval_episodes new waves, float64 [waves, inner steps + 1].

        The waves are a function of config.eval_seed, so that runs compare.

        Raises:
          Interrupted: SIGINT or SIGTERM came.
        """
        start = start or Initialization.of(self._learner)
        stream, total = Stream(self.config.eval_seed, Purpose.EVALUATE), self.config.eval_episodes
        parts = []
        bar = Bar(total=total, desc="new waves", unit="wave", leave=False)
        with bar, StopSignals() as stop:
            for first in range(0, total, WAVES_PER_CALL):
                tasks = self._draw(stream, range(first, first + WAVES_PER_CALL))
                parts.append(losses(self.adaptation(start, tasks), tasks))
                bar.update(WAVES_PER_CALL)
                if stop.received:
                    raise Interrupted(NOTHING_STORED, stop.received)
        return np.concatenate(parts)[:total]

    def _draw(self, stream: Stream, tasks: range) -> Tasks:
        return draw_waves(self._waves, evaluation_shape(self.config), stream, range(1), tasks)


class WaveMonitor(Monitor):
    """Logs the loss on the plotted wave every --eval-interval, its predictions more often."""

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
