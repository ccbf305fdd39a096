#!/usr/bin/env python3
"""Train and evaluate few-shot classifiers on Omniglot: python run_omniglot.py --help."""

from supervised_reptile.cli import run
from supervised_reptile.cli_datasets import omniglot as main

if __name__ == "__main__":
    run(main)
