"""Optimizers that a recipe can train with: one file each, and nothing else lists them.

base  what an optimizer is, and the registry of all of them
"""

__all__ = ["base"]
