"""The run directory: written here, read by everything else."""
