"""Alignment: how well gradients of different mini-batches agree, within a task and between tasks.

The paper explains why Reptile and MAML work by AvgGradInner = E[H2 g1], half the gradient of
E[g1 . g2], the inner product of the gradients of two mini-batches of a task (section 5.1): steps
along it make that product larger, and with it what a step on one batch does for another.
Measured here, beside the same for batches of different tasks.
"""

from __future__ import annotations

import numpy as np

# Compared at each evaluation, by two batches each: together about an outer step's work.
TASKS = 20
PAIRS = ("same", "different")  # batches of the same task, of different tasks
MEASURES = {"product": "inner product", "cosine": "cosine"}  # with their names for people


def summary(products: np.ndarray) -> dict[str, float]:
    """Means of `gradients.gradient_products` with their standard errors, as they are logged.

    Keys are "<pair>_<measure>" and "<pair>_<measure>_error" for PAIRS and MEASURES.
    """
    found = {}
    for measure, matrix in zip(MEASURES, products.astype(np.float64), strict=True):
        for pair, mean, error in zip(PAIRS, means(matrix), errors(matrix), strict=True):
            found[f"{pair}_{measure}"] = float(mean)
            found[f"{pair}_{measure}_error"] = float(error)
    return found


def means(matrix: np.ndarray) -> np.ndarray:
    """Of the diagonal and of all the rest of [tasks, tasks], float64 [2]: see PAIRS."""
    tasks, same = len(matrix), np.trace(matrix)
    return np.array([same / tasks, (matrix.sum() - same) / (tasks * (tasks - 1))])


def errors(matrix: np.ndarray) -> np.ndarray:
    """Standard errors of `means`, float64 [2], over tasks, which must be three or more.

    By leaving out one task after the other (the jackknife): tasks are independent, the pairs
    that one of them belongs to are not.
    """
    tasks = len(matrix)
    left_out = np.array(
        [means(np.delete(np.delete(matrix, t, axis=0), t, axis=1)) for t in range(tasks)]
    )
    return np.sqrt((tasks - 1) * left_out.var(axis=0))
