"""Optimizers that a recipe can train with: one file each, and nothing else lists them."""

__all__ = ["base"]
