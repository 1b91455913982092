"""Readers: what a framework makes of an exported file, through the framework's own code; a file per framework.

base  what a reader is; `READERS` is the registry
"""

__all__ = ["base"]
