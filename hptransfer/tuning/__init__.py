"""Tuning at the proxy: the search as a library that prints and writes nothing.

tune      `tune(session) -> Tuned`, on `search` (all hyperparameters at once) or `one_at_a_time`
forecast  the trials that tuning wants, for forecasts and for `status`
"""

__all__ = ["forecast", "refitted", "tune"]
