"""Conducting a sweep: Ray runs the trials, the study chooses them, the table shows them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from supervised_reptile.errors import Interrupted, UserError
from supervised_reptile.sweep.board import show_board
from supervised_reptile.sweep.cluster import connected, quiet
from supervised_reptile.sweep.identity import check_sweep, write_data
from supervised_reptile.sweep.live import LiveTable
from supervised_reptile.sweep.standing import FAILED, Standing, stored_standing
from supervised_reptile.sweep.study import Study
from supervised_reptile.sweep.trials import Plan, make_trial
from supervised_reptile.system.folder_lock import lock, wait_until_free
from supervised_reptile.system.stop_signals import StopSignals

if TYPE_CHECKING:
    from ray.tune.schedulers import TrialScheduler

    from supervised_reptile.sweep.search import StudySearch

LOST_WORKERS = 3  # of one trial, until it counts as failed


def run_sweep(plan: Plan, resume: bool) -> None:
    """Run what is not finished of a sweep, and show how it came out; `resume` where there is one.

    Raises:
      UserError: some trials failed (the others were run), or as `check_sweep`.
      Interrupted: SIGINT or SIGTERM came; the running trials have saved.
    """
    if plan.address and plan.address.startswith("ray://"):  # data and --out are there
        with connected(plan, with_output=True):
            _on_the_cluster(plan, resume)
        return
    data = check_sweep(plan, resume)
    with connected(plan, with_output=False):
        conduct(plan, data)


def conduct(plan: Plan, data: Mapping[str, Any]) -> None:
    """`run_sweep` where Ray is connected to already; `data` is what `check_sweep` returned."""
    with lock(plan.out):
        write_data(plan.out, data)
        _conduct(plan)


def _conduct(plan: Plan) -> None:
    from supervised_reptile.sweep.search import StudySearch, replay, scheduler_of

    study = Study(plan.out, plan.space)
    before = standings(plan, study)
    table = LiveTable(list(plan.space.dimensions), plan.trials)
    table.start(before)
    scheduler = scheduler_of(plan.space.early_stopping)
    told = {asked.number for asked in study.trials if asked.value is not None}
    replay(scheduler, [s.trial for s in before if s.trial.number in told])
    with StopSignals() as stop:
        search = StudySearch(plan, study, lambda: bool(stop.received))
        _tune(plan, search, scheduler, table)
    table.erase()
    for trial in search.running:
        wait_until_free(trial.path)
    _end(plan, study, search.ended, stop.received)


def _tune(plan: Plan, search: StudySearch, scheduler: TrialScheduler, table: LiveTable) -> None:
    """Have Ray Tune run all trials of the search."""
    from ray import tune

    from supervised_reptile.sweep.search import Display, StopWhen
    from supervised_reptile.sweep.trainable import TrialRun

    folder = plan.out / "ray"  # Tune's own state, of no use afterwards
    shutil.rmtree(folder, ignore_errors=True)
    trainable = tune.with_parameters(TrialRun, plan=plan)
    tune.Tuner(
        tune.with_resources(trainable, {"cpu": plan.threads, "gpu": plan.gpus}),
        tune_config=tune.TuneConfig(
            search_alg=search,
            scheduler=scheduler,
            num_samples=-1,  # as many as the search gives
            trial_name_creator=_ray_name,
            trial_dirname_creator=_ray_name,
        ),
        run_config=tune.RunConfig(
            name=folder.name,
            storage_path=str(folder.parent),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            failure_config=tune.FailureConfig(max_failures=LOST_WORKERS),
            callbacks=[Display(table, search)],
            stop=StopWhen(search.stopping),
            verbose=0,
        ),
    ).fit()
    shutil.rmtree(folder, ignore_errors=True)


def _ray_name(trial) -> str:
    """What Ray calls a trial, and its folder."""
    return f"{trial.config['number']:03d}"


def standings(plan: Plan, study: Study, failures: dict[int, str] | None = None) -> list[Standing]:
    """How all trials of the study stand by their directories; `failures`: by their numbers."""
    found = []
    for asked in study.trials:
        trial = make_trial(plan, asked.number, asked.point)
        failure = (failures or {}).get(asked.number, "")
        mode = plan.space.mode(trial.config)
        found.append(stored_standing(trial, mode, asked.value, failure))
    return found


def _end(plan: Plan, study: Study, ended: list[Standing], signal_number: int) -> None:
    """The board, and the exception that says what is left to do."""
    failures = {s.trial.number: s.failure for s in ended if s.status == FAILED}
    show_board(plan, standings(plan, study, failures))
    if signal_number:
        raise Interrupted(
            "Interrupted; running trials have saved. Continue with the same command and --resume",
            signal_number,
        )
    if failures:
        numbers = ", ".join(f"{number:03d}" for number in failures)
        raise UserError(f"trials failed: {numbers}. Try them again with the same command, --resume")


def _on_the_cluster(plan: Plan, resume: bool) -> None:
    """`conduct` on the head node, whose output Ray passes on; what it raises is raised here."""
    import ray
    from ray.exceptions import RayError

    task = ray.remote(num_cpus=0)(_conducted).options(name="sweep").remote(plan, resume)
    try:
        try:
            failure, signal_number = ray.get(task)
        except KeyboardInterrupt:
            ray.cancel(task, recursive=False)  # as SIGINT, there; it stops its trials itself
            failure, signal_number = ray.get(task)
    except RayError as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(
            f"{plan.address}: the sweep could not run there ({reason}); all of its machines need "
            "this program and its extra, pip install '.[sweep]'"
        ) from error
    if signal_number:
        raise Interrupted(failure, signal_number)
    if failure:
        raise UserError(failure)


def _conducted(plan: Plan, resume: bool) -> tuple[str, int]:
    """`conduct`, and what it raised: the message, and the signal's number if there was one."""
    quiet()
    try:
        conduct(plan, check_sweep(plan, resume))
    except UserError as error:
        return str(error), 0
    except Interrupted as stop:
        return str(stop), stop.signal_number
    return "", 0
