"""Data: sources of training text, read without torch."""
