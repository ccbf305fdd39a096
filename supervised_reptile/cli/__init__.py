"""The command line: one module per command, which parses, loads and calls."""
