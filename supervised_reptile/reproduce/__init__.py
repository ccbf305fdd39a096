"""The paper's experiments by command, each a study of its own; see `cli_reproduce`."""
