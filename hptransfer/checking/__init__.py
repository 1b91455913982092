"""Checking: the ladder, its design, and the check as a library."""
