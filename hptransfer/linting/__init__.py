"""Linting: recipes checked without training.

validate       `validate(reference)`: every finding about one recipe
base           `LINT_RULES`: what it runs on a recipe that could be read, a file per topic in `rules/`
foreign_files  `lint_file(path)`: known traps in another framework's file, a file per framework in `foreign/`
planned        what such a file is compared with
reading        such files, read into settings
"""

__all__ = ["base", "foreign", "foreign_files", "planned", "validate"]
