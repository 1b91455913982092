"""Where a command leaves its results: `base` has the contract, each other module reads one form, while it is written.

base  what a reader is, what it reports, and numbers and lines as files have them
"""

__all__ = ["base"]
