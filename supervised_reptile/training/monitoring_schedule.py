"""When training looks at the accuracy, and on how many episodes: much to see for little work.

The original looks every --eval-interval outer steps, each time on one episode with one query per
class; adapting to those episodes is up to a third of all its work. Here several looks become one,
on episodes with several query sets: one adaptation is then judged several times. Query sets of an
episode are nearly independent, so that fewer adaptations tell as much.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from supervised_reptile.config import Config
from supervised_reptile.data.dataset import Dataset

FEWEST = 50  # looks in a run, if --eval-interval asks for that many
MOST_TOGETHER = 12
QUERY_SETS = 8
# Between the accuracies on two query sets of an episode; measured on Omniglot, 5-way 5-shot
# transductive (benchmarks/looks.py): what makes eight sets worth 4.2 episodes.
CORRELATION = 0.13


class LookPlan(NamedTuple):
    """How training looks at the accuracy."""

    interval: int  # outer steps between looks
    episodes: int  # of each watched split, at each look
    query_sets: int  # of one query per class, for each episode


def plan_looks(config: Config, dataset: Dataset) -> LookPlan:
    """As config.look_episodes says, or else as much to see as one episode every eval_interval.

    Runs of fewer than twice FEWEST looks then get just that.
    """
    if config.look_episodes:
        query_sets = _most_query_sets(config, dataset)
        return LookPlan(config.eval_interval, config.look_episodes, query_sets)
    together = config.outer_steps // (config.eval_interval * FEWEST)
    if together <= 1:
        return LookPlan(config.eval_interval, 1, 1)
    together = min(together, MOST_TOGETHER)
    query_sets = _most_query_sets(config, dataset)
    episodes = math.ceil(together / worth(query_sets))
    return LookPlan(config.eval_interval * together, episodes, query_sets)


def _most_query_sets(config: Config, dataset: Dataset) -> int:
    """QUERY_SETS, or as many as the watched classes have examples for beside the support set."""
    watched = (dataset.pools[split] for split in dataset.monitored)
    examples = min(int(pool.counts.min()) for pool in watched)
    return max(1, min(QUERY_SETS, examples - config.shots))


def worth(query_sets: int) -> float:
    """How many episodes with one query set an episode with `query_sets` is worth.

    The effective size of a sample of that many with correlation CORRELATION between any two.
    """
    return query_sets / (1 + (query_sets - 1) * CORRELATION)
