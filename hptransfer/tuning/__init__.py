"""Tuning: the search on the proxy as a library, and what it found."""
