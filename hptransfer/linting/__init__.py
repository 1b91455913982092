"""Linting: recipes checked without training."""

__all__ = ["validate"]
