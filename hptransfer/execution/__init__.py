"""Execution: worker processes."""

__all__ = ["early", "frames", "limits", "outcome", "pool", "signals", "worker"]
