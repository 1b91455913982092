"""The recipe: what a user writes, typed, with every fault located (`file:line:column`)."""

__all__ = [
    "advice",
    "changes",
    "defaults",
    "library",
    "load",
    "quantities",
    "registered",
    "rules",
    "schema",
    "suggestion",
]
