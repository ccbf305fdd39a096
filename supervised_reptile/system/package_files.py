"""Data files of the package: metadata, the built page, weights."""

from __future__ import annotations

from pathlib import Path

from supervised_reptile.system.atomic_files import reading

PACKAGE = Path(__file__).resolve().parents[1]
PRETRAINED = ("omniglot-5way",)  # names of the weights that come with the package


def metadata_folder() -> Path:
    """`metadata/`: inside an installed package, next to it in a checkout."""
    installed = PACKAGE / "metadata"
    return installed if installed.is_dir() else PACKAGE.parent / "metadata"


def read_metadata(name: str) -> str:
    """The text of a file in `metadata/` (UserError: not readable)."""
    path = metadata_folder() / name
    with reading(path, "install the program again"):
        return path.read_text(encoding="utf8")


def web_folder() -> Path:
    """The built browser demo: inside an installed package, else `web/dist/`."""
    installed = PACKAGE / "web"
    return installed if installed.is_dir() else PACKAGE.parent / "web" / "dist"


def pretrained_weights(name: str = PRETRAINED[0]) -> Path:
    """The file of the weights of a name in PRETRAINED; a .json next to it documents them."""
    return PACKAGE / "pretrained" / f"{name}.npz"
