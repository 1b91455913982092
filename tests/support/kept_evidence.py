"""Copies of the recipes with evidence in `tests/data/evidence`, to be edited; real runs of a few seconds each.

`cd tests/data/evidence; for recipe in *.yaml; do hptransfer run $recipe --runs kept; done` made them, and then
`hptransfer scale completep-gpt.yaml --runs kept --force`; study.db, caches and figures are left out, and recipe.json,
which holds a path.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from hptransfer.linting.levels.base import ValidationOptions
from hptransfer.linting.validate import Validation, validate

KEPT = Path(__file__).parents[1] / "data" / "evidence"
#: one of them is checked with a rule of its own, one each with another's
RECIPES = ("completep-gpt", "mup-adamw", "mup-sgd", "spectral-adamw", "standard-adamw")
#: hyperparameters searched one by one and together, a check in rounds, Muon, and a check over depth
SEARCHES = ("one-at-a-time", "joint-adaptive", "muon-gpt", "completep-depth")


#: what changes the content of a file, in place
Edit: TypeAlias = Callable[[Any], object]


def set_at(*path: Any, to: Any) -> Edit:
    """An edit that gives the value at a path another one.

    Args:
        path: keys and places in lists that lead to the value.
        to: the new value, which must not be the present one.
    """

    def change(content: Any) -> None:
        for part in path[:-1]:
            content = content[part]
        assert content[path[-1]] != to
        content[path[-1]] = to

    return change


class Kept:
    """One recipe with its evidence, in a folder of its own."""

    def __init__(self, folder: Path, name: str = "mup-adamw") -> None:
        self.root, self.name = folder, name
        folder.mkdir(exist_ok=True)
        shutil.copytree(KEPT / "texts", folder / "texts")
        shutil.copy(KEPT / f"{name}.yaml", folder)
        shutil.copytree(KEPT / "kept" / name, folder / "kept" / name)
        self.recipe = folder / f"{name}.yaml"

    def file(self, name: str) -> Path:
        """A file of the run folder."""
        return self.root / "kept" / self.name / name

    def edit(self, name: str, change: Callable[[Any], object]) -> None:
        """Changes the content of a file; header and layout are lost."""
        path = self.file(name)
        is_json = name.endswith(".json")
        content = (json.loads if is_json else yaml.safe_load)(path.read_text())
        change(content)
        path.write_text(json.dumps(content) if is_json else yaml.safe_dump(content, sort_keys=False))

    def without_trials(self, name: str) -> None:
        """Takes the trials out of a file, and what it says of how many they are."""
        taken_out = {"tuned.yaml": {"evidence": None, "carried": 0}, "transfer.json": {"evidence": None}}
        self.edit(name, lambda content: content.update(taken_out[name]))

    def read(self, name: str) -> Any:
        """The content of a file."""
        text = self.file(name).read_text()
        return json.loads(text) if name.endswith(".json") else yaml.safe_load(text)

    def validate(self, **options: Any) -> Validation:
        """The recipe at the level `evidence`."""
        levels = ("static", "evidence")
        return validate(str(self.recipe), ValidationOptions(levels, runs=self.root / "kept", **options))

    def found(self, **options: Any) -> Mapping[str, str]:
        """Code of each error -> the file it is on and what was received; those with the same code joined."""
        return _joined(self.validate(**options).errors)

    def warned(self, **options: Any) -> Mapping[str, str]:
        """The same of warnings on evidence."""
        warnings = self.validate(**options).warnings
        return _joined(each for each in warnings if each.code.startswith("evidence/"))


def _joined(findings: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in findings:
        where = Path(each.place.file).name if each.place else ""
        found[each.code] = f"{found.get(each.code, '')}{where}: {each.rule}: {each.received}\n"
    return found
