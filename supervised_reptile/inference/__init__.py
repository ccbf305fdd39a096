"""Trained weights in use: FewShotClassifier, predictions, exports and the demo server."""
