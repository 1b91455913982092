"""Search: which hyperparameters to try next, and what to recommend."""
