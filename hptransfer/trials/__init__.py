"""Trials: the record of one training run."""

__all__ = ["code", "failure", "identity", "legacy", "messages", "phase", "spec", "trial"]
