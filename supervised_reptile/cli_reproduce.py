"""`reptile reproduce`: the paper's experiments, each a subcommand imported only when used."""

from __future__ import annotations

from supervised_reptile.lazy import LazyGroup, Subcommands

STUDIES: Subcommands = {}

reproduce = LazyGroup(
    "reproduce",
    STUDIES,
    "Run the paper's experiments and set what came out beside what was published.",
)
