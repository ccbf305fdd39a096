"""The paper's experiments, as `reptile reproduce` runs them."""
