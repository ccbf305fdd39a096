"""Files on disk to ImageStore: knows nothing of TensorFlow."""
