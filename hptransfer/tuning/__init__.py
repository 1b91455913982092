"""Tuning at the proxy: the search as a library.

`tune.tune(session)` returns what is in `tuned.yaml` (`artifacts.tuned.Tuned`); `search` has the joint search and what a
search strategy is, `one_at_a_time` the search along one axis after the other, `forecast` the trials that are wanted.
"""

__all__ = ["forecast", "tune"]
