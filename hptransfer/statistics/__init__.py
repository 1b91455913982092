"""Statistics: curves of loss over a hyperparameter, their optima, noise, drift over sizes, and laws. Pure functions of numbers."""
