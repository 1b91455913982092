"""Statistics: curves of loss over a hyperparameter, their optima, noise, drift over sizes, laws. Pure functions."""
