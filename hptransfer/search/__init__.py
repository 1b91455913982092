"""Search: which hyperparameters to try next, and what to recommend."""

__all__ = ["asha", "power", "recommendation", "rounds", "space"]
