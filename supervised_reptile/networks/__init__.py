"""Conv4 and the MLP as functions of (weights, inputs)."""
