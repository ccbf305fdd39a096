"""One measurement of `reptile reproduce cost`, in a process that does nothing else.

    python -m supervised_reptile.paper.cost_probe ALGORITHM INNER_STEPS DATA_DIR THREADS

prints what `measure` returns as JSON. A process of its own, because memory that a process has used
once stays with it: only a fresh one shows what this algorithm needs with these inner steps.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

import numpy as np

from supervised_reptile.config import PRESETS, Config
from supervised_reptile.errors import UserError
from supervised_reptile.system.start_tensorflow import start_tensorflow

STEPS_PER_CALL = 5  # outer steps
CALLS, SECONDS = 5, 3.0  # timed at least

STATUS, PEAK_RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def setting(algorithm: str, inner_steps: int, data_dir: str, threads: int) -> Config:
    """The paper's Omniglot 5-way setting; inner steps are SGD in all three, as MAML needs it."""
    fields = {
        "algorithm": algorithm,
        "inner_steps": inner_steps,
        "sgd": True,
        "data_dir": data_dir,
        "threads": threads,
    }
    return Config(**{**PRESETS["omniglot-5way"], **fields})


def measure(config: Config) -> dict[str, float]:
    """Train for a few seconds on the Omniglot in config.data_dir.

    Returns:
      base: MiB resident before the first outer step: program, images, weights.
      peak: MiB resident at most from then on, the compiled graph included.
      seconds: of an outer step, median over calls.

    Raises:
      UserError: the system does not report a process's memory, or the data cannot be read.
    """
    if not (STATUS.exists() and PEAK_RESET.exists()):
        raise UserError(f"memory is read from {STATUS}, which only Linux has")
    start_tensorflow(config.threads)
    from supervised_reptile.algorithms.image_feed import ImageFeed
    from supervised_reptile.data.omniglot import load_omniglot
    from supervised_reptile.networks.conv4 import encoder, omniglot_net
    from supervised_reptile.training import experiment, loop

    dataset = load_omniglot(Path(config.data_dir), config.seed, 0)
    loop.check_training(config, dataset)
    net = omniglot_net(dataset.image_shape, config.way)
    feed = ImageFeed(dataset, encoder(net, len(dataset.images)))
    learner = experiment.make_learner(config, net, dataset.max_value)
    chunk = loop.Chunk(0, STEPS_PER_CALL)
    batch = feed(loop.draw(config, dataset.pools["train"], loop.task_shape(config), chunk))
    sizes = np.full(STEPS_PER_CALL, 0.1)
    PEAK_RESET.write_text("5")  # resets the peak: what loading needed does not count
    base = _resident("VmRSS")
    seconds: list[float] = []
    learner.train(batch, sizes)  # compiles
    while len(seconds) < CALLS or sum(seconds) * STEPS_PER_CALL < SECONDS:
        began = time.perf_counter()
        learner.train(batch, sizes)
        seconds.append((time.perf_counter() - began) / STEPS_PER_CALL)
    return {"base": base, "peak": _resident("VmHWM"), "seconds": float(np.median(seconds))}


def _resident(field: str) -> float:
    """A line of /proc/self/status in MiB."""
    (kilobytes,) = re.findall(rf"^{field}:\s*(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    return int(kilobytes) / 1024


def main(algorithm: str, inner_steps: str, data_dir: str, threads: str) -> None:
    """Print the measurement as JSON."""
    try:
        print(json.dumps(measure(setting(algorithm, int(inner_steps), data_dir, int(threads)))))
    except UserError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
