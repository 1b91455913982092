"""Diagnostics: what a check measures beside the verdict. One file each: what is measured, how it is judged and shown.

`base.py` says what a diagnostic is; the other modules without a leading underscore are the built-in ones, by name. A
user's own is named `module:attribute` in `check.diagnostics`, or comes from an entry point of `hptransfer.diagnostics`.
"""
