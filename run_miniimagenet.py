#!/usr/bin/env python3
"""Train and evaluate few-shot classifiers on Mini-ImageNet: python run_miniimagenet.py --help."""

from supervised_reptile.cli import run
from supervised_reptile.cli_datasets import miniimagenet as main

if __name__ == "__main__":
    run(main)
