"""The folder `metadata/`: facts about data sets and papers that are files, not code."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def metadata_folder() -> Path:
    """`metadata/`: inside the package where it was installed, beside it in a checkout."""
    installed = PACKAGE / "metadata"
    return installed if installed.is_dir() else PACKAGE.parent / "metadata"
