"""Checking: the ladder, its design, and the check as a library."""

__all__ = ["adaptive", "check", "design", "forecast", "judge_table", "result"]
