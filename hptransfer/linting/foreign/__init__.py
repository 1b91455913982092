"""Known traps in configurations of other frameworks, a file per framework; each defines `FRAMEWORK`."""

__all__ = ["base"]
