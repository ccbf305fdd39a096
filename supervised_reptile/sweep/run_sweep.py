"""Running a sweep: Ray Tune runs the trials, each an ordinary run, and Optuna chooses them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import shutil
import signal
from pathlib import Path
from typing import Any

import optuna
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from supervised_reptile.api import execute
from supervised_reptile.config import IMAGES, TRAINING, Config, differing_flags
from supervised_reptile.distributed.ray_cluster import connected
from supervised_reptile.errors import Interrupted, UserError
from supervised_reptile.runs import read_run
from supervised_reptile.sweep.results import FAILED, UNFINISHED, leaderboard, show
from supervised_reptile.sweep.space import SPLIT, Space, Sweep, combinations
from supervised_reptile.system.atomic_files import read_json, reading, write_json, writing
from supervised_reptile.system.folder_lock import lock, wait_until_free
from supervised_reptile.training.request import Request

SWEEP = "sweep.json"  # the space and the data of the sweep in a directory
UNSET = "not given"


def run_sweep(sweep: Sweep, resume: bool) -> None:
    """Run what is not finished of a sweep and show the results (UserError, Interrupted)."""
    stored = _check(sweep, resume)
    cpus, received = sweep.threads * (sweep.jobs or 1), []

    def stop(number: int, _frame: object) -> None:
        received.append(number)
        signal.raise_signal(signal.SIGINT)  # at which Tune stops

    with lock(sweep.out), connected(sweep.address, cpus):
        signal.signal(signal.SIGTERM, stop)
        with writing(sweep.out):
            (sweep.out / "trials").mkdir(exist_ok=True)
            write_json(sweep.out / SWEEP, stored)
        _tuner(sweep).fit()
        rows = leaderboard(sweep)
    if rows:
        show(sweep, rows)
    if len(rows) < sweep.trials or UNFINISHED in [row["state"] for row in rows]:
        raise Interrupted("Interrupted; continue with --resume", (*received, signal.SIGINT)[0])
    if failed := [f"{row['trial']:03d}" for row in rows if row["state"] == FAILED]:
        raise UserError(f"trials failed: {', '.join(failed)}; --resume tries them again")


def reports(config: Config) -> list[dict[str, float]]:
    """What Ray Tune hears of a run's evaluations: the mean over the second half of the training.

    One after the last outer step is left out: it is no reason to stop.
    """
    path, total = Path(config.checkpoint), config.outer_steps
    metrics = read_run.read_metrics(path) if (path / read_run.METRICS).exists() else {}
    if SPLIT not in metrics:
        return []
    steps, accuracies = metrics["step"] + 1, metrics[SPLIT]
    found = []
    for done in steps[steps < total].tolist():
        mean = float(accuracies[(steps >= done / 2) & (steps <= done)].mean())
        found.append({"accuracy": mean, "percent": 100 * done / total, "outer_steps": done})
    return found


def run_trial(point: dict[str, Any], sweep: Sweep) -> None:
    """Train a trial, from its checkpoint if there is one, and report to Ray Tune."""
    config, explicit, *_ = sweep.parse(tune.get_context().get_trial_name(), point)
    path, source = Path(config.checkpoint), sweep.space.command.source
    if not (sweep.out / SWEEP).exists():
        where = f"{sweep.out} is empty on {platform.node()}"
        raise UserError(f"{where}: --out has to be a directory that all machines share")
    wait_until_free(path)  # an earlier process may have lost its node

    def report(*_: object) -> None:
        for metrics in reports(config)[-1:]:
            tune.report(metrics)

    resume = read_run.holds_run(path) and not differing_flags(
        read_run.read_stored(path).config, config, explicit, (TRAINING, IMAGES)
    )
    if not resume or not read_run.stored_evaluation(config, (SPLIT,)):
        request = Request(config, explicit, source, resume, not resume, callbacks=(report,))
        with path.with_suffix(".log").open("a") as log, contextlib.redirect_stdout(log):
            execute(request)
    evaluation = read_run.stored_evaluation(config, (SPLIT,))
    accuracy = evaluation["accuracy"][sweep.space.mode(config)][SPLIT]
    last = {"accuracy": accuracy["mean"], "half_width": accuracy["half_width"], "percent": 100.0}
    seconds = evaluation["training_seconds"]
    tune.report({**last, "outer_steps": config.outer_steps, "seconds": seconds})


class Asha(ASHAScheduler):
    """ASHA that knows, after --resume, what earlier trials have reached."""

    sweep: Sweep

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Record the evaluations in the trial's run directory, if it has one."""
        super().on_trial_add(tune_controller, trial)
        for metrics in reports(self.sweep.parse(str(trial), trial.config).config):
            super().on_trial_result(tune_controller, trial, metrics)


def _tuner(sweep: Sweep) -> tune.Tuner:
    """What goes on from an earlier session, or else starts a search."""
    state, search = sweep.out / "ray", sweep.space.search
    resources = {"cpu": sweep.threads, "gpu": sweep.gpus}
    trainable = tune.with_resources(tune.with_parameters(run_trial, sweep=sweep), resources)
    with contextlib.suppress(Exception):  # there is no state, or a kill left half of it
        if tune.ExperimentAnalysis(str(state)).trials:
            return tune.Tuner.restore(str(state), trainable, resume_errored=True)
    shutil.rmtree(state, ignore_errors=True)
    asha = None
    if search["early_stopping"] == "asha":
        percents: Any = 100 * search["grace"]  # need not be whole
        asha = Asha("percent", None, None, 100, percents, search["reduction"])
        asha.sweep = sweep
    config = tune.TuneConfig(
        metric="accuracy",
        mode="max",
        search_alg=searcher(sweep.space),
        scheduler=asha,
        num_samples=sweep.trials,
        max_concurrent_trials=sweep.jobs,
        trial_name_creator=lambda trial: f"{int(trial.experiment_tag.split('_')[0]) - 1:03d}",
        trial_dirname_creator=str,
    )
    failures = tune.FailureConfig(max_failures=1)  # of a machine, mostly
    run_config = tune.RunConfig("ray", str(sweep.out), failure_config=failures)
    return tune.Tuner(trainable, tune_config=config, run_config=run_config)


def searcher(space: Space) -> OptunaSearch:
    """What proposes trials: the first points, then those of the method."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    kinds = {"tpe": optuna.samplers.TPESampler, "cma-es": optuna.samplers.CmaEsSampler}
    sampler = kinds.get(space.search["method"], optuna.samplers.RandomSampler)
    first = [dict(point) for point in space.first]
    sampled = sampler(seed=space.search["seed"])
    return OptunaSearch(dict(space.distributions), "accuracy", "max", first, sampled)


def _check(sweep: Sweep, resume: bool) -> dict[str, Any]:
    """What SWEEP holds: settings, and what identifies the data (UserError as `run_sweep`)."""
    if resume != (holds := (sweep.out / SWEEP).exists()):
        remedy = "give --resume to continue it, or another --out" if holds else "leave --resume out"
        raise UserError(f"{sweep.out} holds {'a' if holds else 'no'} sweep: {remedy}")
    any_point = combinations(sweep.space.distributions, 1)[0]
    dataset = sweep.space.command.source.load(sweep.parse("000", any_point).config)
    if SPLIT not in dataset.pools:
        remedy = "hold some out (--val-classes; of your own images by --split)"
        raise UserError(f"{sweep.data_dir} has no validation classes to choose by: {remedy}")
    settings = {
        name if table in ("space", "fixed") else f"[{table}] {name}".strip(): value
        for table, values in sweep.space.written.items()
        for name, value in (values.items() if isinstance(values, dict) else [("", values)])
    }
    classes = json.dumps(dataset.class_names).encode()
    data = {"images": dataset.checksum, "split of images": hashlib.sha256(classes).hexdigest()}
    now = json.loads(json.dumps({**settings, "--trials": sweep.trials, **data}))
    if holds:
        with reading(sweep.out / SWEEP, "restore it from a copy, or give another --out"):
            was = dict(read_json(sweep.out / SWEEP))
        changes = [n for n in {**was, **now} if was.get(n) != now.get(n)]
        texts = [f"{n} was {was.get(n, UNSET)}, is {now.get(n, UNSET)}" for n in changes]
        if texts:
            remedy = "take that back, or give another --out"
            raise UserError(f"{sweep.out} holds another sweep: {'; '.join(texts)}; {remedy}")
    return now
