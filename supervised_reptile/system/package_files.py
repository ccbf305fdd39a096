"""Files that come with the program and are not code: metadata, the built page, weights."""

from __future__ import annotations

from pathlib import Path

from supervised_reptile.system.atomic_files import checksum, reading

PACKAGE = Path(__file__).resolve().parents[1]
METADATA = {  # CRC-32 of each file, with "\n" between its lines
    "paper.json": "380a1f2d",
    "miniimagenet/train.csv": "7e2112fe",
    "miniimagenet/val.csv": "59a647ef",
    "miniimagenet/test.csv": "982e6822",
    "omniglot/alphabets.csv": "ed38bbde",
}
PRETRAINED = ("omniglot-5way",)  # names of the weights that come with the package


def metadata_folder() -> Path:
    """`metadata/`: inside the package where it was installed, beside it in a checkout."""
    installed = PACKAGE / "metadata"
    return installed if installed.is_dir() else PACKAGE.parent / "metadata"


def read_metadata(name: str) -> str:
    """The text of a file in `metadata/`, a key of METADATA.

    Raises:
      UserError: it is not the one that belongs to this program.
    """
    path = metadata_folder() / name
    with reading(path, "install the program again"):
        text = path.read_text(encoding="utf8")
        if checksum(text.encode()) != METADATA[name]:
            raise ValueError("it is not as it came with the program")
        return text


def web_folder() -> Path:
    """The built browser demo: inside the package where it was installed, else `web/dist/`."""
    installed = PACKAGE / "web"
    return installed if installed.is_dir() else PACKAGE.parent / "web" / "dist"


def pretrained_weights(name: str = PRETRAINED[0]) -> Path:
    """The weights of a name in PRETRAINED; beside them lies a .json that says what they are."""
    return PACKAGE / "pretrained" / f"{name}.npz"
