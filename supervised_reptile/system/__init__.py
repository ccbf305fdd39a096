"""Atomic files, locks, signals, progress bars and starting TensorFlow."""
