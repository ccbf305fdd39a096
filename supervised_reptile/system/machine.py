"""Machine and versions, stored with every measurement."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from supervised_reptile.errors import counted
from supervised_reptile.system.thread_pool import cores

PACKAGES = ("supervised-reptile", "tensorflow", "numpy", "pillow")


def describe() -> dict[str, str]:
    """Description of the machine, without anything that identifies it or its user."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed as a package"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": f"{_processor()}, {counted(cores(), 'core')} used",
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **versions,
    }


def of_evaluations(evaluations: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Where the evaluations of several runs were made, as they say themselves.

    Where they differ, every value stands once; evaluations of older versions do not say.
    """
    silent = {"machine": "not recorded"}
    said = [evaluation.get("environment") or silent for evaluation in evaluations]
    names = dict.fromkeys(name for environment in said for name in environment)
    return {
        name: "; ".join(dict.fromkeys(each[name] for each in said if name in each))
        for name in names
    }


def _processor() -> str:
    """The CPU's name, if the system provides it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
