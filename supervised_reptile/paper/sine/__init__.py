"""Few-shot regression of sine waves: the smallest experiment."""
