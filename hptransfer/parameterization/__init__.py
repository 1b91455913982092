"""Parameterizations as data: (role, quantity) -> powers of the width, depth, batch and token multipliers.

Pure standard library. It is handed names, shapes and roles; it returns a `Plan`.
"""

__all__ = ["gauge", "groups", "markdown", "options", "plan", "roles", "tables"]
