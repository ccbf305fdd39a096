"""Few-shot learning with Reptile, first-order MAML and joint training (arXiv 1803.02999).

from supervised_reptile import FewShotClassifier
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from supervised_reptile.inference.few_shot_classifier import FewShotClassifier

__all__ = ["FewShotClassifier"]


def __getattr__(name: str) -> Any:
    """Imports the classifier when it is asked for: commands start without it."""
    if name == "FewShotClassifier":
        from supervised_reptile.inference.few_shot_classifier import FewShotClassifier

        return FewShotClassifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
