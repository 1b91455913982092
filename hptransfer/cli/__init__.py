"""The command line."""

__all__ = ["app", "boundary"]
