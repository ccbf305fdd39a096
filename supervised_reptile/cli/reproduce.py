"""`reptile reproduce`: the paper's experiments, each a subcommand imported only when used."""

from __future__ import annotations

from supervised_reptile.cli.lazy_group import LazyGroup, Subcommands

_TABLES = "supervised_reptile.paper.cli_tables"

STUDIES: Subcommands = {
    "omniglot-5way": (_TABLES, "omniglot_5way", "Tables: Omniglot, 5-way."),
    "omniglot-20way": (_TABLES, "omniglot_20way", "Tables: Omniglot, 20-way."),
    "miniimagenet-5way": (_TABLES, "miniimagenet_5way", "Tables: Mini-ImageNet, 5-way."),
    "gradients": (
        "supervised_reptile.paper.inner_gradients",
        "gradients",
        "Section 6.2: combinations of inner gradients.",
    ),
    "overlap": (
        "supervised_reptile.paper.overlap",
        "overlap",
        "Section 6.3: overlap of FOML's last batch with the others.",
    ),
    "theory": (
        "supervised_reptile.paper.theory",
        "theory",
        "Section 5: the terms of the updates, and gradient alignment.",
    ),
    "cost": (
        "supervised_reptile.paper.cost",
        "cost",
        "Memory and time of MAML, FOML and Reptile by inner steps.",
    ),
    "all": (
        "supervised_reptile.cli.reproduce_all",
        "everything",
        "All of them, and one page with their results.",
    ),
}

reproduce = LazyGroup(
    "reproduce",
    STUDIES,
    "Run the paper's experiments and compare with its results.",
)
