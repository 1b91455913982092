"""Storage: the run folder and the trials in it."""
