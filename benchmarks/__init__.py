"""Measurements of the tool itself; each module is a script, `python -m benchmarks.NAME`."""
