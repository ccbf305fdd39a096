#!/usr/bin/env python3
"""Train and evaluate few-shot classifiers on Omniglot: python run_omniglot.py --help."""

from supervised_reptile.cli.datasets import omniglot as main
from supervised_reptile.cli.main import run

if __name__ == "__main__":
    run(main)
