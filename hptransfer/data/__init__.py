"""Sources of training data, read without torch: one file each; users add theirs by entry point or `module:attribute`.

base  what a data source is; reads whatever a recipe's `data` section names
text  the user's own files: `data.kind: text`
"""

__all__ = ["_files", "base", "python", "text", "tokens"]
