"""Statistics, curves, comparisons and reports of finished runs, without TensorFlow."""
