"""YAML as recipes use it: read event by event, with positions, and within bounds.

gate     bytes -> plain data with the position of every entry, or the faults that refuse them
outline  the recipe's keys as data: which section a path belongs to, which keys it has
"""

__all__ = ["gate", "outline"]
