"""Optuna's journal with the checksums of its lines beside it, as logs of runs have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend

from supervised_reptile.system.atomic_files import reading
from supervised_reptile.system.checked_log import extend_checksums, intact_lines


class CheckedJournal(JournalFileBackend):
    """A journal that one process at a time writes."""

    def __init__(self, path: Path, remedy: str) -> None:
        """Open the journal, or start it; `remedy` says what to do where it is damaged.

        Raises:
          UserError: its lines are not as they were written.
        """
        self._path = path
        if path.exists():
            with reading(path, remedy):
                lines, fault = intact_lines(path)
                if fault:
                    raise ValueError(fault)
                for line in lines:
                    json.loads(line)
        super().__init__(str(path))

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """As its base class, and the checksums of the lines."""
        super().append_logs(logs)
        extend_checksums(self._path)
