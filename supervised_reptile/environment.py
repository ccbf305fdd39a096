"""Machine and versions, to stand beside every measured number."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

from supervised_reptile.workers import cores

PACKAGES = ("supervised-reptile", "tensorflow", "numpy", "pillow")


def describe() -> dict[str, str]:
    """What a reader must know of the machine; nothing that identifies it or its user."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed as a package"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": f"{_processor()}, {cores()} cores used",
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **versions,
    }


def _processor() -> str:
    """The processor's name where the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
