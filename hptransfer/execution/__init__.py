"""Execution: worker processes."""
