#!/usr/bin/env python3
"""How Omniglot's drawings lie on their paper, and what it is worth to bring them to one place.

The page centres and scales what people draw (web/src/preprocess.ts): the numbers there come from
here. Accuracy is 5-way 1-shot, non-transductive, on the same episodes of the test characters.

    python benchmarks/placement.py --data-dir data/omniglot --episodes 500
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from PIL import Image
from scipy.ndimage import distance_transform_edt

from supervised_reptile.runtime import start_tensorflow

EXTENT, MIDDLE = 69, 50.6  # as in web/src/preprocess.ts
SAMPLE = 3856  # drawings that are measured, spread over all characters


@click.command(help=__doc__.replace("\n    ", "\n\n\b\n    ", 1))
@click.option("--checkpoint", type=click.Path(exists=True, path_type=Path))
@click.option("--data-dir", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--episodes", default=500, show_default=True, type=click.IntRange(min=1))
def main(checkpoint: Path | None, data_dir: Path, episodes: int) -> None:
    start_tensorflow()
    from browser_cases import evaluation_tasks, query_scores_of, used_rows

    from supervised_reptile.data.omniglot import sorted_drawings
    from supervised_reptile.export import open_snapshot
    from supervised_reptile.statistics import accuracy

    drawings = sorted_drawings(data_dir)
    describe([ink_of(d.read()) for d in drawings[:: max(1, len(drawings) // SAMPLE)]])
    snapshot = open_snapshot(checkpoint)
    config = dataclasses.replace(snapshot.config, shots=1)
    dataset, tasks = evaluation_tasks(config, data_dir, episodes)
    used = np.unique(used_rows(tasks))
    images = np.array(dataset.images)
    for name, place in PLACES.items():
        for row in used:
            images[row] = small(place(ink_of(drawings[row].read())))[..., None]
        scores = query_scores_of(snapshot, config, images, tasks)
        correct = (scores.argmax(axis=2) == tasks.query_labels[:, 0]).sum(axis=1)
        print(f"{name}: {accuracy(correct, config.way)}")


def ink_of(png: bytes) -> np.ndarray:
    """bool [105, 105], true where there is ink."""
    with Image.open(io.BytesIO(png)) as image:
        return ~np.asarray(image.convert("1"))


def describe(drawings: list[np.ndarray]) -> None:
    """Print how large the drawings are, where they lie and how wide their pen was."""
    boxes = np.array([box_of(ink) for ink in drawings])
    extents = (boxes[:, 1] - boxes[:, 0] + 1).max(axis=1)
    low, middle, high = np.percentile(extents, (5, 50, 95))
    print(f"{len(drawings)} drawings: longer side {middle:.0f} pixels ({low:.0f} to {high:.0f})")
    print(f"middles at {boxes.mean(axis=(0, 1)).round(1).tolist()} (rows, columns)")
    print(f"ink: {100 * np.mean([ink.mean() for ink in drawings]):.1f} % of the paper")
    depths = np.concatenate([distance_transform_edt(ink)[ink] for ink in drawings])
    print(f"distance of ink to paper: {depths.mean():.2f} pixels (1.8 in a stroke 5 pixels wide)")


def box_of(ink: np.ndarray) -> np.ndarray:
    """First and last row and column with ink: [[top, left], [bottom, right]]."""
    places = np.argwhere(ink)
    return np.array([places.min(axis=0), places.max(axis=0)])


def small(ink: np.ndarray) -> np.ndarray:
    """bool [28, 28], made smaller as the data set is: true where there is paper."""
    return np.asarray(Image.fromarray(~ink).resize((28, 28), Image.Resampling.NEAREST))


def moved(ink: np.ndarray, scale: float) -> np.ndarray:
    """The drawing `scale` times as large, its middle in the middle of Omniglot's drawings."""
    middle = box_of(ink).mean(axis=0)
    rows, columns = (
        np.round((np.arange(len(ink)) - MIDDLE) / scale + m).astype(int) for m in middle
    )
    inside = np.logical_and.outer(
        (rows >= 0) & (rows < len(ink)), (columns >= 0) & (columns < len(ink))
    )
    return ink[np.ix_(rows % len(ink), columns % len(ink))] & inside


def scaled(ink: np.ndarray) -> np.ndarray:
    """Also as large as most: its longer side EXTENT pixels."""
    box = box_of(ink)
    return moved(ink, EXTENT / (box[1] - box[0] + 1).max())


PLACES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as drawn": lambda ink: ink,
    "centred": lambda ink: moved(ink, 1),
    "centred and scaled": scaled,
}

if __name__ == "__main__":
    main()
