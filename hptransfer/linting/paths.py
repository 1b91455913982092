"""From what `validate` is given, files, folders, globs and `-`, to the recipes that it means, within bounds.

Nothing of a recipe is judged here: of a folder's YAML files only the names of the keys at the top are looked at.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from hptransfer.errors import Finding, Place, UsageError, printable
from hptransfer.files import open_regular
from hptransfer.linting.catalogue import explanations
from hptransfer.linting.recognised import TELLING, or_, why_no_recipe
from hptransfer.matching import is_pattern, leads_out, matching
from hptransfer.recipe.load import STDIN, is_run_folder
from hptransfer.recipe.rule_text import explained
from hptransfer.recipe.shipped import shipped_recipes
from hptransfer.recipe.yaml.gate import MAX_BYTES

#: recipes that one command may check
MOST_RECIPES = 5_000
#: files of folders that are no recipes and are named one by one
MOST_NAMED = 20
#: YAML files of a folder, whatever the case of their suffix
_YAML = ("**/*.[yY][aA][mM][lL]", "**/*.[yY][mM][lL]")


@dataclass(frozen=True, slots=True)
class Selected:
    """What the arguments of `validate` mean.

    Attributes:
        recipes: references for `validate`, in the order of the arguments, a folder's sorted; each file once.
        faults: argument -> why it means nothing, or is refused.
        passed_over: YAML files of folders that are no recipes, a clause each with the reason.
    """

    recipes: tuple[str, ...]
    faults: tuple[tuple[str, Finding], ...]
    passed_over: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was passed over, for people: the first files one by one, then how many more."""
        named = [f"passed over {printable(clause)}" for clause in self.passed_over[:MOST_NAMED]]
        left = len(self.passed_over) - MOST_NAMED
        return (*named, f"passed over {left} more") if left > 0 else (*named,)


def select(arguments: Sequence[str], *, trusted: bool = False) -> Selected:
    """The recipes that arguments mean.

    Args:
        arguments: files, folders, globs, names of shipped recipes, and `-` for the standard input.
        trusted: whether links are followed wherever they lead; else only inside the folder that is searched, or, for
            a file that is named, inside the current folder, or its own where it lies elsewhere.
    """
    recipes: dict[str, None] = {}
    seen: set[tuple[int, int]] = set()
    faults: list[tuple[str, Finding]] = []
    passed_over: dict[str, None] = {}
    for argument in dict.fromkeys(arguments):
        try:
            for name in _meant(argument, trusted, passed_over):
                state = _identity(name)
                if state in seen or len(recipes) >= MOST_RECIPES:
                    continue
                if state is not None:
                    seen.add(state)
                recipes[name] = None
        except UsageError as error:
            faults += [(argument, _placed(finding, argument)) for finding in error.findings]
    if len(recipes) >= MOST_RECIPES:
        rule = f"one command checks at most {MOST_RECIPES:,} recipes"
        finding = Finding(rule, "more", "name fewer folders", code="path/limits")
        faults.append((arguments[-1], _placed(finding, arguments[-1])))
    return Selected(tuple(recipes), tuple(faults), tuple(passed_over))


def _meant(argument: str, trusted: bool, passed_over: dict[str, None]) -> Iterator[str]:
    if argument == "-":
        yield STDIN
        return
    if not trusted:
        _require_inside(argument)
    try:
        mode = os.stat(argument).st_mode
    except (OSError, ValueError):
        if is_pattern(argument) and argument not in shipped_recipes():
            yield from _of_glob(argument, trusted)
        else:
            yield argument  # a shipped recipe, or said to be missing by whoever reads it
        return
    if stat.S_ISDIR(mode):  # what lies here goes before a shipped recipe of its name: it is what was committed
        yield from _of_folder(argument, trusted, passed_over)
    else:
        yield argument


def _of_glob(argument: str, trusted: bool) -> Iterator[str]:
    start, pattern = _split(argument)
    found = matching(pattern, Path(start or "."), trusted=trusted)
    if found.outside:
        raise _leads_out(os.path.join(start, found.outside[0]))
    if not found.files:
        hint = "quote it as it should reach this command; `**` goes through no links and no hidden folders"
        raise UsageError("a glob must match a file", received="none", hint=hint, code="path/nothing")
    yield from (os.path.join(start, name) for name in found.files)


def _of_folder(argument: str, trusted: bool, passed_over: dict[str, None]) -> Iterator[str]:
    names: set[str] = set()
    unseen: dict[str, str] = {}
    for pattern in _YAML:
        found = matching(pattern, Path(argument), trusted=trusted)
        names |= set(found.files)
        unseen |= {**found.unseen, **dict.fromkeys(found.outside, "a link that leads out")}
    some = False
    for name in sorted({*names, *unseen}):
        path = os.path.join(argument, name)
        why = unseen[name] if name in unseen and name not in names else _no_recipe(Path(path))
        if why is None:
            some = True
            yield path
        else:
            passed_over[f"{path}: {why}"] = None
    if not some:
        if is_run_folder(Path(argument)):
            raise UsageError(
                "a recipe must be named, not the run folder of one",
                received=f"{argument} with results of {Path(argument).name}",
                hint="name the recipe; `--runs` takes the folder above: `hptransfer validate RECIPE --level evidence "
                f"--runs {shlex.quote(str(Path(argument).parent))}`",
                code="path/nothing",
            )
        raise UsageError(
            "a folder must hold a recipe",
            received=f"{len(names)} YAML file(s), none of them a recipe",
            hint=f"a folder's recipes are its *.yaml and *.yml with {or_(TELLING)} among other keys of a recipe at the "
            "top; hidden files, and those of hidden folders, are named one by one",
            code="path/nothing",
        )


def _no_recipe(path: Path) -> str | None:
    """Why a file of a folder is not taken for a recipe; None where it is one, however broken."""
    try:
        with open_regular(path) as stream:
            return why_no_recipe(stream.read(MAX_BYTES + 1))
    except OSError:
        return None  # its reader says why it cannot be read


def _require_inside(argument: str) -> None:
    """A file that is named may be a link inside the current folder; elsewhere, inside the folder where it lies.

    Raises:
        UsageError: a link leads out of there.
    """
    path = PurePath(argument)
    if ".." in path.parts:
        root, name = Path(path.parent), path.name
    elif path.is_absolute():
        here = Path.cwd()
        root, name = (
            (here, str(path.relative_to(here))) if path.is_relative_to(here) else (Path(path.parent), path.name)
        )
    else:
        root, name = Path(), argument
    if is_pattern(name) or "\0" in argument:
        return
    if name and leads_out(name, root):
        raise _leads_out(argument)


def _leads_out(link: str) -> UsageError:
    return UsageError(
        "a recipe must not be reached through a link that leads out of its folder",
        received=link,
        hint="name the file itself, or say `--trust` where the link is your own",
        code="path/outside",
    )


def _split(argument: str) -> tuple[str, str]:
    """Where a glob starts, its folders without a pattern, and the pattern."""
    parts = PurePath(argument).parts
    first = next(place for place, part in enumerate(parts) if is_pattern(part))
    return (str(PurePath(*parts[:first])) if first else ""), "/".join(parts[first:])


def _identity(name: str) -> tuple[int, int] | None:
    """What tells files apart, whatever they are called; None for what is no file."""
    try:
        state = os.stat(name)
    except (OSError, ValueError):
        return None
    return state.st_dev, state.st_ino


def _placed(finding: Finding, argument: str) -> Finding:
    placed = Finding(finding.rule, finding.received, finding.hint, Place(argument), finding.code)
    return explained([placed], explanations())[0]
