"""Linting: recipes checked without training.

`validate` checks one recipe; `LINT_RULES` is the registry of what it runs on a recipe that could be read.
"""

__all__ = ["base", "validate"]
