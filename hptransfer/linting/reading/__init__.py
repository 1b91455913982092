"""Files of other frameworks, read into settings with their places; nothing of them is ever run or imported.

text       bytes -> text, within bounds
files      `read_foreign(path)`: what a file holds, whichever of the forms below it has
settings   `Setting` and `ForeignFile`: what rules look at
shell      scripts: words of commands, with variables and arrays as far as they are static
documents  YAML and JSON, leaf by leaf
python     Python by `ast`: calls, their arguments, values that are constant
"""

__all__ = ["files", "python", "settings", "shell", "text"]
