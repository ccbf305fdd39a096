"""JSON documents that hold the checksum of their own content.

A bit that flips in a number leaves a number: nothing but a checksum tells. "crc32" is the
CRC-32 of the other members, as JSON with sorted keys and no spaces; how a document is indented
does not matter. A document without it (written by an older program, or by hand) is taken as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from supervised_reptile.system.atomic_files import checksum, replacing

CRC = "crc32"


def document(content: Mapping[str, Any]) -> str:
    """The text of a document."""
    plain = json.loads(json.dumps(content))  # tuples become lists, as they will be read
    return json.dumps({**plain, CRC: _checksum(plain)}, indent=1) + "\n"


def write_document(path: Path, content: Mapping[str, Any]) -> None:
    """Put `content` into the file `path`, which is replaced atomically (OSError)."""
    with replacing(path) as temporary:
        temporary.write_text(document(content), encoding="utf8")


def read_document(path: Path) -> dict[str, Any]:
    """The content of a document.

    Raises OSError or ValueError where it is not as it was written: see `files.reading`.
    """
    content = json.loads(path.read_text(encoding="utf8"))
    if not isinstance(content, dict):
        raise ValueError("it is not a JSON object")
    if content.pop(CRC, _checksum(content)) != _checksum(content):
        raise ValueError(f"it is not as it was written; if that is on purpose, take out its {CRC}")
    return content


def _checksum(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return checksum(text.encode())
