#!/usr/bin/env python3
"""Train and evaluate few-shot classifiers on Mini-ImageNet: python run_miniimagenet.py --help."""

from supervised_reptile.cli.datasets import miniimagenet as main
from supervised_reptile.cli.main import run

if __name__ == "__main__":
    run(main)
