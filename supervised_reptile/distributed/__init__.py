"""One run on several workers."""
