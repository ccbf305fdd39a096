"""`reptile reproduce`: the paper's experiments, each a subcommand imported only when used."""

from __future__ import annotations

from supervised_reptile.lazy import LazyGroup, Subcommands

STUDIES: Subcommands = {
    "cost": (
        "supervised_reptile.reproduce.cost",
        "cost",
        "Memory and time of MAML, FOML and Reptile against the number of inner steps.",
    ),
}

reproduce = LazyGroup(
    "reproduce",
    STUDIES,
    "Run the paper's experiments and set what came out beside what was published.",
)
