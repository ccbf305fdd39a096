"""Many small training runs side by side on the cores, each a process of its own.

A run of one task per outer step cannot use several cores; several runs can.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from supervised_reptile.config import EVALUATION, MEASURED, Config, fields_of
from supervised_reptile.errors import Interrupted, UserError
from supervised_reptile.flags import flags
from supervised_reptile.runs.read_run import METRICS, holds_run, read_evaluations, stored_evaluation
from supervised_reptile.system.folder_lock import lock, wait_until_free
from supervised_reptile.system.processes import last_lines, start_run
from supervised_reptile.system.progress_bar import Bar
from supervised_reptile.system.stop_signals import StopSignals

POLL_SECONDS = 0.5
EVALUATED_SPLITS = ("train", "test")  # of Omniglot without validation classes
# The data's default is another for `reptile omniglot` than for Config.
DATA_FIELD = "data_dir"
EVALUATION_FIELDS = fields_of(EVALUATION, MEASURED)


def small_run(out: Path, name: str, **fields: Any) -> Config:
    """The setting of section 6: 5-way Omniglot, inner SGD, one task per outer step, one core."""
    return Config(
        checkpoint=str(out / "runs" / name),
        inner_rate=0.003,
        sgd=True,
        outer_step_size_final=0.0,
        eval_batch=25,
        eval_steps=5,
        threads=1,
        **fields,
    )


def final_evaluation(config: Config) -> dict[str, Any]:
    """The accuracies of the run of `config` after training, as in results.json; empty without."""
    return stored_evaluation(config, EVALUATED_SPLITS)


def run_parallel(configs: Sequence[Config], at_once: int) -> None:
    """Finish the runs of `reptile omniglot`, `at_once` at a time, with one progress bar.

    All of them have their run directories in the same folder.

    Raises:
      UserError: some failed (the others were run), or another process is at work on them.
      Interrupted: SIGINT or SIGTERM came; the running ones have saved and continue next time.
    """
    bar = Bar(total=sum(config.outer_steps for config in configs), unit="step", smoothing=0.05)
    folder = Path(configs[0].checkpoint).parent
    with lock(folder), bar, StopSignals() as stop, ThreadPoolExecutor(at_once) as pool:
        futures = [pool.submit(_finish, config, stop) for config in configs]
        while not all(future.done() for future in futures):
            bar.update(sum(map(_steps_done, configs)) - bar.n)
            time.sleep(POLL_SECONDS)
    if stop.received:
        raise Interrupted("Interrupted and saved; the same command continues.", stop.received)
    failed = []
    for future in futures:
        try:
            future.result()
        except UserError as error:
            failed.append(str(error))
    if failed:
        raise UserError("; ".join(failed))


def _finish(config: Config, stop: StopSignals) -> None:
    """Train and evaluate what is missing."""
    if final_evaluation(config):
        return
    path = Path(config.checkpoint)
    wait_until_free(path)  # of a process that was killed and is about to save
    if all(e["outer_steps"] != config.outer_steps for e in read_evaluations(path)):
        if holds_run(path):  # it is evaluated as it was started
            _reptile(config, [*flags(config, EVALUATION_FIELDS, (DATA_FIELD,)), "--resume"], stop)
        else:
            _reptile(config, flags(config, always=(DATA_FIELD,)), stop)
    if not final_evaluation(config):
        words = flags(config, always=(DATA_FIELD, *EVALUATION_FIELDS))
        _reptile(config, [*words, "--pretrained"], stop)


def _reptile(config: Config, words: Sequence[str], stop: StopSignals) -> None:
    """Run `reptile omniglot WORDS...` to its end, or until a signal came, when it saves."""
    if stop.received:
        return
    log = Path(f"{config.checkpoint}.log")
    process = start_run(["omniglot", *words], log)
    while process.poll() is None and not stop.received:
        time.sleep(POLL_SECONDS)
    process.terminate()
    if process.wait():
        last = "".join(last_lines(log, 1))
        name = Path(config.checkpoint).name
        raise UserError(f"{name} failed: {last} (all of its output is in {log})")


def _steps_done(config: Config) -> int:
    """Outer steps up to the last logged evaluation."""
    if final_evaluation(config):
        return config.outer_steps
    last = "".join(last_lines(Path(config.checkpoint) / METRICS, 1))
    try:
        return json.loads(last)["step"] + 1
    except (ValueError, TypeError, KeyError):  # none yet, or half written
        return 0
