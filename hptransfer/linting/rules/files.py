"""Files that the recipe names."""

from __future__ import annotations

import glob
from collections.abc import Iterator

from hptransfer.data.text import TextFiles
from hptransfer.data.tokens import TokenFiles
from hptransfer.errors import Finding
from hptransfer.linting.base import FunctionRule
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.rule_text import Explanation


def _no_data(loaded: LoadedRecipe) -> Iterator[Finding]:
    data = loaded.recipe.data
    folder = loaded.path.parent
    keys = {TextFiles: ("files",), TokenFiles: ("train", "validation")}.get(type(data), ())
    patterns = ((key, index, pattern) for key in keys for index, pattern in enumerate(getattr(data, key) or ()))
    for key, index, pattern in patterns:
        names = glob.iglob(pattern, root_dir=folder, recursive=True)  # as training reads them
        if any((folder / name).is_file() for name in names):
            continue
        place = loaded.place(("data", key, index), value=True)
        hint = f"patterns are relative to the recipe's folder, {folder.as_posix()}/"
        yield Finding(f"`data.{key}` must match files", f'"{pattern}" matches none', hint, place)


RULES = (
    FunctionRule(
        "recipe/no-data",
        "each pattern of files in `data` matches a file",
        _no_data,
        level="error",
        explanation=Explanation(
            "HPT210",
            "Every command that trains would end before the first trial.",
            "name files that are there, relative to the recipe's folder",
            "data: {kind: text, files: [none.txt]}",
            "data: {kind: text, files: ['*.yaml']}",
            at="^none.txt",
        ),
    ),
)
