"""Sources of training text, read without torch: one file each; users add theirs by entry point or `module:attribute`.

`base` reads whatever a recipe's `data` section names; `training.data` makes batches of it.
"""

__all__ = ["base", "text"]
