"""Every recipe of two versions: what changed in it, in its plan at the target, and in what its evidence says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hptransfer.errors import Finding, RecipeError
from hptransfer.linting.compared.facts import (
    NONE,
    Evidence,
    FileChange,
    ValueChange,
    changed_files,
    changed_values,
    evidence_of,
)
from hptransfer.linting.compared.plans import PlanChange, PlannedVersion, compared, own_code, planned
from hptransfer.linting.compared.trees import FileTree
from hptransfer.linting.ignores import stated
from hptransfer.recipe.changes import Change, changes
from hptransfer.recipe.load import LoadedRecipe, parse_recipe
from hptransfer.recipe.yaml.gate import MAX_BYTES

_UNTRUSTED = "code that a recipe names runs with `--trust` only"
#: sections on which a plan depends
_PLANNED = ("model", "data", "trainer", "training", "parameterization", "sizes")
#: data of this kind are the texts of Python's own library
OF_PYTHON = "stdlib-text"
#: the verdict that a recipe may not lose
_BEST = "TRANSFERS"


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a recipe.

    Attributes:
        path: relative to the folder of its version.
        loaded: the recipe; None where it has errors.
        errors: the rules that it breaks.
        evidence: what committed evidence says of it.
        ignores: its comments for this tool, which excuse findings.
    """

    path: str
    loaded: LoadedRecipe | None
    errors: tuple[Finding, ...]
    evidence: Evidence
    ignores: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecipeComparison:
    """Two versions of one recipe, one of which may not be there.

    Attributes:
        base: the earlier version; None where the recipe was added.
        head: the later version; None where it was removed.
        changes: keys that differ; empty where a version is missing or has errors.
        plan: what differs between the plans; None where that is not decided, or a version is missing.
        undecided: what was not compared, with the reason, a sentence each.
    """

    base: Version | None
    head: Version | None
    changes: tuple[Change, ...] = ()
    plan: PlanChange | None = None
    undecided: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The later version's path; the earlier one's where the recipe was removed."""
        return self.head.path if self.head is not None else self.base.path if self.base is not None else ""

    @property
    def status(self) -> Literal["added", "removed", "moved", "changed", "unchanged"]:
        """What became of the recipe; evidence that says something else is a change too."""
        if self.base is None or self.head is None:
            return "added" if self.base is None else "removed"
        if self.base.path != self.head.path:
            return "moved"
        same = self.base.evidence == self.head.evidence and bool(self.base.errors) == bool(self.head.errors)
        same = same and not self.comments
        return "unchanged" if same and not self.changes and not (self.plan and self.plan.groups) else "changed"

    @property
    def comments(self) -> tuple[tuple[Literal["added", "removed"], str], ...]:
        """Comments that excuse findings and are in one version alone, those that were removed first."""
        if self.base is None or self.head is None or self.base.loaded is None or self.head.loaded is None:
            return ()
        before, after = Counter(self.base.ignores), Counter(self.head.ignores)
        gone: list[tuple[Literal["added", "removed"], str]] = [
            ("removed", each) for each in (before - after).elements()
        ]
        return (*gone, *(("added", each) for each in (after - before).elements()))

    @property
    def files(self) -> tuple[FileChange, ...]:
        """Committed files of evidence that differ; none where a version is missing or has errors."""
        pair = self._evidence
        return () if pair is None else changed_files(*pair)

    @property
    def values(self) -> tuple[ValueChange, ...]:
        """Of the verdict, the coordinate check and the optima of committed evidence, those that differ."""
        pair = self._evidence
        return () if pair is None else changed_values(*pair)

    @property
    def _evidence(self) -> tuple[Evidence, Evidence] | None:
        if self.base is None or self.head is None or self.base.loaded is None or self.head.loaded is None:
            return None
        return self.base.evidence, self.head.evidence

    @property
    def not_compared(self) -> tuple[str, ...]:
        """What may have changed without a word: the content of data that come from elsewhere than Python itself."""
        kinds = [each.loaded.recipe.data.kind for each in (self.base, self.head) if each and each.loaded]
        return ("data",) if len(kinds) == 2 and kinds[1] != OF_PYTHON else ()

    @property
    def regressions(self) -> tuple[str, ...]:
        """Verdicts that got worse, a clause each; a recipe that was removed lost the one that it had."""
        if self.base is None:
            return ()
        if self.head is None:
            stood = self.base.evidence.standing
            return () if stood is None else (f"verdict {stood} -> none: the recipe was removed",)
        before, after, found = self.base.evidence, self.head.evidence, []
        if before.standing == _BEST and after.standing != _BEST:
            found.append(f"verdict {_BEST} -> {_lost(self.head)}")
        if before.scope == "covered" and after.scope != "covered":
            found.append(f"target covered -> {after.scope or 'no judgement of this target'}")
        return tuple(found)


def _lost(head: Version) -> str:
    if head.loaded is None:
        return "none, because the recipe has errors"
    if head.evidence.verdict is not None and not head.evidence.current:
        return "none: the check is of another version of the recipe"
    return head.evidence.verdict or "none"


def compare(base: FileTree, head: FileTree, *, trust: bool = False) -> tuple[RecipeComparison, ...]:
    """Compares every recipe that is in either version; those of one path are the same, then those of one name.

    Args:
        base: files of the earlier version.
        head: files of the later version.
        trust: whether code that recipes name may run, in a process of its own.
    """
    earlier, later = _versions(base, head), _versions(head, base)
    return tuple(_compared(*pair, base, head, trust=trust) for pair in _pairs(base, head, earlier, later))


def _versions(tree: FileTree, beside: FileTree) -> dict[str, Version]:
    """Recipes by path, and files that are recipes in the other version, so that none can hide by a fault."""
    found: dict[str, bytes | None] = dict(tree.recipes)
    if not tree.single:
        found |= {path: content for path, content in tree.other.items() if path in beside.recipes}
    return {path: _version(tree, path, found[path]) for path in sorted(found)}


def _version(tree: FileTree, path: str, content: bytes | None) -> Version:
    # one byte more than a recipe may have says that it is too long
    source = b" " * (MAX_BYTES + 1) if content is None else content
    try:
        loaded = parse_recipe(source, Path(path))
    except RecipeError as error:
        return Version(path, None, error.findings, NONE)
    ignores = stated(source.decode("utf-8", "replace"))
    return Version(path, loaded, (), evidence_of(tree, path, loaded), ignores)


def _pairs(
    base: FileTree, head: FileTree, earlier: dict[str, Version], later: dict[str, Version]
) -> Iterator[tuple[Version | None, Version | None]]:
    if base.single and head.single:  # whatever they are called
        yield next(iter(earlier.values())), next(iter(later.values()))
        return
    if base.single or head.single:  # the others of a revision or a folder are not asked about
        (path, version), others = (
            next(iter((earlier if base.single else later).items())),
            later if base.single else earlier,
        )
        named = next((each for each in others.values() if _name(each) == _name(version) is not None), None)
        other = others.get(path, named)
        yield (version, other) if base.single else (other, version)
        return
    moved: dict[str, str] = {}
    gone = {_name(version): path for path, version in earlier.items() if path not in later}
    for path, version in later.items():
        if path not in earlier and (name := _name(version)) in gone and name is not None:
            moved[path] = gone.pop(name)
    for path in sorted({*later, *earlier} - set(moved.values())):
        yield earlier.get(moved.get(path, path)), later.get(path)


def _name(version: Version) -> str | None:
    return None if version.loaded is None else version.loaded.recipe.name


def _compared(
    base: Version | None, head: Version | None, before: FileTree, after: FileTree, *, trust: bool
) -> RecipeComparison:
    if base is None or head is None:
        return RecipeComparison(base, head)
    if base.loaded is None or head.loaded is None:
        which = " and ".join(name for name, each in (("base", base), ("head", head)) if each.loaded is None)
        return RecipeComparison(base, head, undecided=(f"what changed: the recipe has errors in {which}",))
    keys = changes(base.loaded.recipe, head.loaded.recipe)
    decisive = any(change.key.split(".")[0] in _PLANNED for change in keys)
    if not decisive and base.evidence.values == head.evidence.values and not trust:
        # the rules are this version's own for both, so only code can make another plan
        code = own_code(head.loaded.recipe)
        undecided = () if code is None else (f"whether {code} changed: {_UNTRUSTED}",)
        return RecipeComparison(base, head, keys, undecided=undecided)
    plans = [
        planned(each.loaded, each.evidence, tree.folder, trust=trust)
        for each, tree in ((base, before), (head, after))
        if each.loaded is not None
    ]
    reasons = [f"the plan at the target: {each}" for each in plans if isinstance(each, str)]
    first, second = plans
    if isinstance(first, PlannedVersion) and isinstance(second, PlannedVersion):
        return RecipeComparison(base, head, keys, compared(first, second))
    return RecipeComparison(base, head, keys, None, tuple(dict.fromkeys(reasons)))
