"""Linting: recipes checked without training.

validate  `validate(reference)`: every finding about one recipe
base      `LINT_RULES`: what it runs on a recipe that could be read, a file per topic in `rules/`
"""

__all__ = ["base", "validate"]
