"""Losses that a recipe can train with: one file each; users add their own by entry point or `module:function`.

base  what a loss is, and the registry of all of them
"""

__all__ = ["base"]
