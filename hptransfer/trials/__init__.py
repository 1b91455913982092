"""Trials: the record of one training run."""
