"""Tuning: the search on the proxy as a library, and what it found."""

__all__ = ["forecast", "result", "tune", "tuned_file"]
