"""Sweeps: many runs with other hyper-parameters, by Ray Tune and Optuna."""
