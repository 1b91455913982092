"""Broken by what lies beside a recipe or is said on the command line; a "⟪" in a recipe stands where the finding is."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.broken_recipes import MARK
from tests.support.hostile_folders import committed, link, pipe
from tests.support.recipe_texts import MLP, edited

#: the file into which the recipe of a case is written
RECIPE = "recipe.yaml"
_DATA = "{kind: stdlib-text}"


def _nothing(folder: Path) -> None:
    pass


@dataclass(frozen=True, slots=True)
class BrokenFolder:
    """A recipe with its surroundings, and a command that refuses them.

    Attributes:
        number: of the rule that is broken.
        words: the command, in the folder.
        file: the one that the finding names; "" where it names no line of a file.
        marked: the recipe; its mark is the finding's place, where it has one.
        prepare: makes what lies beside it.
    """

    number: str
    words: tuple[str, ...] = ("validate", RECIPE)
    file: str = RECIPE
    marked: str = MLP
    prepare: Callable[[Path], object] = _nothing

    def build(self, folder: Path) -> None:
        """Writes the recipe and what lies beside it."""
        (folder / RECIPE).write_text(self.marked.replace(MARK, ""))
        self.prepare(folder)

    @property
    def is_static(self) -> bool:
        """Whether the level `static` alone refuses it."""
        return self.words[0] == "validate" and "--level" not in self.words

    @property
    def where(self) -> str:
        """File, line and column of the finding, as far as it has them."""
        before, mark, _ = self.marked.partition(MARK)
        lines = before.split("\n")
        return f"{self.file}:{len(lines)}:{len(lines[-1]) + 1}" if mark else self.file


def _deep(folder: Path) -> None:
    folder.joinpath("deep", *"d" * 40).mkdir(parents=True)


def _linked_database(folder: Path) -> None:
    database = committed(folder).runs / "tiny" / "study.db"
    database.rename(folder / "elsewhere.db")
    database.symlink_to(folder / "elsewhere.db")


def _cut_database(folder: Path) -> None:
    database = committed(folder).runs / "tiny" / "study.db"
    os.truncate(database, database.stat().st_size // 2)


_STATUS = ("status", "runs/tiny")
BROKEN_FOLDERS = {
    "no-such-recipe": BrokenFolder("HPT001", ("validate", "recpie.yaml"), file="recpie.yaml"),
    "recipe-is-a-pipe": BrokenFolder("HPT001", ("validate", "p.yaml"), file="p.yaml", prepare=pipe("p.yaml")),
    "data-behind-a-link": BrokenFolder(
        "HPT900", marked=edited(MLP, (_DATA, "{kind: text, files: [⟪out.txt]}")), prepare=link("out.txt", "../out.txt")
    ),
    "recipe-behind-a-link": BrokenFolder(
        "HPT900", ("validate", "out.yaml"), file="out.yaml", prepare=link("out.yaml", "../out.yaml")
    ),
    "data-in-deep-folders": BrokenFolder(
        "HPT901", marked=edited(MLP, (_DATA, "{kind: text, files: [⟪'deep/**/none']}")), prepare=_deep
    ),
    "folder-without-recipes": BrokenFolder(
        "HPT902", ("validate", "empty"), file="empty", prepare=lambda folder: (folder / "empty").mkdir()
    ),
    "glob-of-nothing": BrokenFolder("HPT902", ("validate", "recipies/*.yaml"), file="recipies/*.yaml"),
    "database-behind-a-link": BrokenFolder("HPT910", _STATUS, file="", prepare=_linked_database),
    "database-cut-off": BrokenFolder("HPT911", _STATUS, file="", prepare=_cut_database),
    "more-trials-than-allowed": BrokenFolder(
        "HPT931",
        ("validate", RECIPE, "--max-trials", "50"),
        marked=edited(MLP, ("tune:", "tune:\n  ⟪trials: 60")),
    ),
    "more-flops-than-allowed": BrokenFolder(
        "HPT932", ("validate", RECIPE, "--max-flops", "1e6"), marked=edited(MLP, ("widths", "⟪widths"))
    ),
    "excused-without-evidence": BrokenFolder(
        "HPT955",
        ("validate", RECIPE, "--level", "static,evidence"),
        marked=f"⟪# hptransfer: ignore-file[HPT400] it is not run yet\n{MLP}",
    ),
}
