"""Files that come with the program and are not code: metadata, the built page, weights."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def metadata_folder() -> Path:
    """`metadata/`: inside the package where it was installed, beside it in a checkout."""
    installed = PACKAGE / "metadata"
    return installed if installed.is_dir() else PACKAGE.parent / "metadata"


def web_folder() -> Path:
    """The built browser demo: inside the package where it was installed, else `web/dist/`."""
    installed = PACKAGE / "web"
    return installed if installed.is_dir() else PACKAGE.parent / "web" / "dist"


def pretrained_weights() -> Path:
    """The weights that come with the package: 5-way Omniglot."""
    return PACKAGE / "pretrained" / "omniglot-5way.npz"
