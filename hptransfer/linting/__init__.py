"""Linting: recipes checked without training."""
