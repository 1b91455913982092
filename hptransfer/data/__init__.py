"""Data: sources of training text, read without torch."""

__all__ = ["corpus"]
