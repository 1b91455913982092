"""Diagnostics: what a check measures in addition to the verdict; one file each, with all that is made of it.

The modules without a leading underscore are the built-in ones, by name. A user's own is named `module:attribute` in
`check.diagnostics`, or comes from an entry point of `hptransfer.diagnostics`.

base  what a diagnostic is, and the registry of all of them
"""

__all__ = ["base", "coordinate"]
