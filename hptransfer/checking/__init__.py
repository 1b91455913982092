"""Checking: the ladder, its design, and the check as a library."""

__all__ = ["check", "forecast", "judge_table"]
