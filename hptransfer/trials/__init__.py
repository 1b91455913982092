"""Trials: the record of one training run."""

__all__ = ["code", "identity", "legacy", "messages", "spec", "trial"]
