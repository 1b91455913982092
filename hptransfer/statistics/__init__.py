"""Statistics: curves of loss over a hyperparameter, their optima, noise, drift over sizes, laws. Pure functions."""

__all__ = ["curve", "drift", "interval", "laws", "optimum", "seed_means", "sensitivity", "slope", "spectral"]
