"""Few-shot learning with Reptile, first-order MAML, MAML and joint training (arXiv 1803.02999).

import supervised_reptile as sr

run = sr.train(sr.preset("omniglot-5way"), data="data/omniglot", out="runs/o55")
clf = sr.FewShotClassifier.load("omniglot-5way")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from supervised_reptile.api import Run, load_run, preset, train
    from supervised_reptile.config import Config
    from supervised_reptile.data.dataset import Dataset
    from supervised_reptile.errors import Interrupted, UserError
    from supervised_reptile.inference.few_shot_classifier import FewShotClassifier

__all__ = [
    "Config",
    "Dataset",
    "FewShotClassifier",
    "Interrupted",
    "Run",
    "UserError",
    "load_run",
    "preset",
    "train",
]

_MODULES = {
    "Config": "config",
    "Dataset": "data.dataset",
    "FewShotClassifier": "inference.few_shot_classifier",
    **dict.fromkeys(("Interrupted", "UserError"), "errors"),
    **dict.fromkeys(("Run", "load_run", "preset", "train"), "api"),
}


def __getattr__(name: str) -> Any:
    """Imports what is asked for, so that commands start at once."""
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
