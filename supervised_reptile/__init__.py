"""Few-shot learning with Reptile, first-order MAML and joint training (arXiv 1803.02999)."""
