"""Scaling: the plan of a size and the target's configuration, with its registered prediction."""

__all__ = ["scale", "verify"]
