"""Export: configuration files for the large run."""

__all__ = ["target"]
