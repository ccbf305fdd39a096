"""`reptile data ...`: everything about data sets on disk. Never imports TensorFlow."""

from __future__ import annotations

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def data() -> None:
    """Draw alphabets; import, verify and show data sets."""
