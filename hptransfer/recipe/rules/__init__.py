"""Rules that tie several keys of a recipe together; a recipe that breaks one is invalid, for every command.

A file per topic; each defines `RULES`, and nothing else lists them. What only weakens a recipe, and rules of one's
own, belong to `hptransfer.linting.rules`.
"""

__all__ = ["base", "training"]
