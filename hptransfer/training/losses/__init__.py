"""Losses that a recipe can train with: one file each; users add their own by entry point or `module:function`."""

__all__ = ["base"]
