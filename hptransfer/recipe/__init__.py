"""The recipe: what a user writes, typed, with every fault located (`file:line:column`)."""

__all__ = [
    "changes",
    "defaults",
    "faults",
    "load",
    "quantities",
    "registered",
    "rules",
    "schema",
    "sections",
    "shipped",
    "suggestion",
]
