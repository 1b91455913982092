"""Levels of `validate`, a file each; each defines `LEVEL`, and nothing else lists them."""

__all__ = ["base"]
