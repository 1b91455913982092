"""Linting: recipes checked without training.

validate       `validate(reference)`: every finding about one recipe, level by level
catalogue      `rule_of(name)`: all rules by number and code; what levels check by themselves is named in `stated/`
ignores        comments by which a recipe excuses findings
paths          `select(arguments)`: recipes that files, folders, globs and `-` mean
caps           what a recipe may cost, by whoever validates it
levels         the levels, a file each
base           `LINT_RULES`: what the levels ask of a recipe that could be read, a file per topic in `rules/`
foreign_files  `lint_file(path)`: known traps in another framework's file, a file per framework in `foreign/`
planned        what such a file is compared with
reading        such files, read into settings
"""

__all__ = [
    "base",
    "catalogue",
    "compared",
    "foreign",
    "foreign_files",
    "ignores",
    "levels",
    "paths",
    "planned",
    "shared_evidence",
    "validate",
]
