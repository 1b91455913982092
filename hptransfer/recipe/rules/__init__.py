"""Rules that tie several keys of a recipe together; a recipe that breaks one is invalid, for every command.

A file per topic; each defines `RULES`, and nothing else lists them. What only weakens a recipe, and rules of one's
own, belong to `hptransfer.linting.rules`.

base      what such a rule is, and what it sees of a recipe with faults
training  its topic, and what other topics need of it
"""

__all__ = ["base", "training"]
