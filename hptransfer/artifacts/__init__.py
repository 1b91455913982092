"""Artifacts: the files that one command writes and another reads, typed, each with a format number.

One module per file: its pydantic model, its writer and its reader. Nothing else in the package parses these files.
"""

__all__ = ["json_data", "recipe_snapshot", "spent", "target", "transfer", "tuned"]
