"""Search: which hyperparameters to try next, and what to recommend.

`space` has the coordinates, `rounds` a whole search as a pure function, `base` what a sampler and a recommendation are,
`samplers` one module each, `recommendation` the optimum by a fit, `power` what a budget can tell.
"""

__all__ = ["base", "recommendation", "rounds", "space", "space_filling"]
