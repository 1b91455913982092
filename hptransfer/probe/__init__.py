"""The running model, asked: what shapes do not say. Built small on the CPU, run once, seeded.

findings  what was found, as plain values
"""

__all__: list[str] = []
