"""Lint rules, a file per topic; each defines `RULES`, and nothing else lists them."""

__all__ = ["budget", "files"]
