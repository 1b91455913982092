"""Search: which hyperparameters to try next, and what to recommend.

space           the searched hyperparameters, and the coordinate in which equal steps mean equal effects
rounds          `Rounds`: a whole search as a pure function; what a budget can tell
base            what a sampler and a recommendation are; `samplers/` has one module per sampler
recommendation  the optimum by a fit, with its interval
space_filling   points known before the first result: Sobol and a grid
"""

__all__ = ["base", "recommendation", "rounds", "space", "space_filling"]
