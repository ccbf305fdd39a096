"""What the paper reports, and what independent re-runs of its program gave: metadata/paper.json."""

from __future__ import annotations

import json
from typing import NamedTuple

from supervised_reptile.system.package_files import read_metadata

SHOTS = (1, 5)


class Published(NamedTuple):
    """One cell of the paper's tables, accuracies in %."""

    paper: float
    lowest: float  # of the re-runs
    highest: float

    def verdict(self, mean: float, half_width: float) -> str:
        """Compare a measured accuracy in %, with its interval's half width, with the re-runs.

        It passes if it lies inside or above their band; below it, only if the interval still
        reaches the band.
        """
        if mean > self.highest:
            return "pass: above the re-runs"
        if mean >= self.lowest:
            return "pass: among the re-runs"
        if mean + half_width >= self.lowest:
            return "pass: within its interval of the re-runs"
        return "fail: below the re-runs"


def published(row: str) -> dict[tuple[int, str], Published]:
    """(shots, transduction mode) -> the cell of `row`, a key of config.PRESETS; 1-shot first."""
    cells = json.loads(read_metadata("paper.json"))["cells"][row]
    return {
        (shots, mode): Published(cell["paper"], *cell["reruns"])
        for shots in SHOTS
        for mode, cell in cells[str(shots)].items()
    }
