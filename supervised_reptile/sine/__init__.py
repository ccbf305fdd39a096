"""Few-shot regression of sine waves: the smallest complete example of the method."""
