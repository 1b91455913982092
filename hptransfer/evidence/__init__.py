"""Whether what `tune` and `check` wrote is still what the recipe, the rules, the code and the data give.

Nothing is trained. The level `evidence` of `validate`, `scale` and `check` ask here.
"""

__all__ = ["counted", "files", "objections", "present", "recomputed", "repair", "stale"]
