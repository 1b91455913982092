"""Trials: the record of one training run."""

__all__ = ["identity", "phase", "spec", "trial"]
