"""The two ways to classify an episode's queries."""

from __future__ import annotations

from supervised_reptile.config import Config

TRANSDUCTIVE = "transductive"  # all in one forward pass, so that they share batch statistics
NON_TRANSDUCTIVE = "non_transductive"  # each together with the support set only


def transduction_modes(config: Config) -> tuple[str, ...]:
    """The mode that was asked for, then the other one if both were."""
    modes = (TRANSDUCTIVE, NON_TRANSDUCTIVE) if config.transductive else (
        NON_TRANSDUCTIVE, TRANSDUCTIVE,
    )  # fmt: skip
    return modes if config.both_modes else modes[:1]
