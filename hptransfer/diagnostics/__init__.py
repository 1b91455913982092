"""Diagnostics: what a check measures in addition to the verdict; one file each, with all that is made of it.

`base.py` says what a diagnostic is; the other modules without a leading underscore are the built-in ones, by name. A
user's own is named `module:attribute` in `check.diagnostics`, or comes from an entry point of `hptransfer.diagnostics`.
"""

__all__ = ["base"]
