"""Linting: recipes checked without training.

validate       `validate(reference)`: every finding about one recipe, level by level
levels         the levels, a file each
base           `LINT_RULES`: what the levels ask of a recipe that could be read, a file per topic in `rules/`
foreign_files  `lint_file(path)`: known traps in another framework's file, a file per framework in `foreign/`
planned        what such a file is compared with
reading        such files, read into settings
"""

__all__ = ["base", "foreign", "foreign_files", "levels", "paths", "planned", "validate"]
