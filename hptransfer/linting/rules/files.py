"""Files that the recipe names."""

from __future__ import annotations

import glob
from collections.abc import Iterator

from hptransfer.data.text import TextFiles
from hptransfer.errors import Finding
from hptransfer.linting.base import FunctionRule
from hptransfer.recipe.load import LoadedRecipe


def _no_data(loaded: LoadedRecipe) -> Iterator[Finding]:
    data = loaded.recipe.data
    folder = loaded.path.parent
    for index, pattern in enumerate(data.files if isinstance(data, TextFiles) else ()):
        names = glob.iglob(pattern, root_dir=folder, recursive=True)  # as training reads them
        if any((folder / name).is_file() for name in names):
            continue
        place = loaded.place(("data", "files", index), value=True)
        hint = f"patterns are relative to the recipe's folder, {folder.as_posix()}/"
        yield Finding("`data.files` must match files", f'"{pattern}" matches none', hint, place)


RULES = (FunctionRule("recipe/no-data", "each pattern of `data.files` matches a file", _no_data, level="error"),)
