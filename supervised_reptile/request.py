"""Request: what a command line asked for."""

from __future__ import annotations

from dataclasses import dataclass

from supervised_reptile.cluster import Cluster
from supervised_reptile.config import Config
from supervised_reptile.sources import Source


@dataclass(frozen=True)
class Request:
    """What the command line asked for."""

    config: Config
    explicit: frozenset[str]  # fields that were given, not defaulted
    source: Source
    resume: bool = False
    overwrite: bool = False
    cluster: Cluster | None = None  # of workers that run the same
