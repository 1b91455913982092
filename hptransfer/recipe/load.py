"""From a reference (a path, or the name of a shipped recipe) to a validated recipe, with all faults located at once."""

from __future__ import annotations

import errno
import hashlib
import json
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from hptransfer.errors import Finding, Place, RecipeError
from hptransfer.files import open_regular
from hptransfer.recipe import suggestion
from hptransfer.recipe.command_sections import NOT_IDENTIFYING
from hptransfer.recipe.faults import locate, schema_findings
from hptransfer.recipe.form_rules import FORM_RULES
from hptransfer.recipe.rule_text import Explanation, explained
from hptransfer.recipe.rules.base import Draft, recipe_rules, violations
from hptransfer.recipe.schema import Recipe
from hptransfer.recipe.shipped import shipped_recipes
from hptransfer.recipe.structure import as_meant, is_template, other_file, unfilled
from hptransfer.recipe.training import MACHINE
from hptransfer.recipe.yaml.gate import MAX_BYTES, Document, KeyPath, Plain, Position, read_yaml
from hptransfer.recipe.yaml.outline import entry, without

#: what a recipe from the standard input is called; only `validate -` reads one
STDIN = "<stdin>"


@dataclass(frozen=True, slots=True)
class LoadedRecipe:
    """A recipe and where it came from.

    Attributes:
        recipe: the validated recipe, with its defaults filled in.
        path: its file, as it was referred to; `data.files` are relative to `path.parent`.
        text: the whole text of the file.
        hash: sha256 (hex) of what evidence rests on (`recipe_hash`); comments and the target do not change it.
        positions: path of every entry -> its position in `text`.
    """

    recipe: Recipe
    path: Path
    text: str
    hash: str
    positions: Mapping[KeyPath, Position] = field(default_factory=dict, repr=False, compare=False)

    @property
    def root(self) -> Path:
        """The recipe's folder, absolute, where its data patterns start."""
        return self.path.parent.absolute()

    def place(self, path: KeyPath, *, value: bool = False) -> Place:
        """Where an entry stands in the file, or the nearest section around it where the recipe leaves it out.

        Args:
            path: keys and list indices that lead to the entry, for example ("sizes", "widths", 0).
            value: the place of the entry's value instead of its key's.
        """
        return locate(self.positions, str(self.path), path, key=not value)


@dataclass(frozen=True, slots=True)
class RecipeSource:
    """The text of a recipe, read once, and what is wrong with it.

    Attributes:
        path: its file, as it was referred to.
        text: the whole text; empty where the bytes are none.
        findings: broken rules of form and across keys, in the order of their places; without any it is a recipe.
        document: what the YAML gate let through.
    """

    path: Path
    text: str
    findings: tuple[Finding, ...]
    document: Document = field(repr=False)

    def load(self) -> LoadedRecipe:
        """The recipe of a text.

        Raises:
            RecipeError: with every finding.
        """
        if self.findings:
            raise RecipeError(self.findings)
        recipe = Recipe.model_validate(self.document.data)
        return LoadedRecipe(recipe, self.path, self.text, recipe_hash(recipe), self.document.positions)


class RecipeUnavailableError(RecipeError):
    """The recipe's file could not be read at all (missing, a directory, no permission)."""


def load_recipe(reference: str | Path) -> LoadedRecipe:
    """Read and validate a recipe.

    Args:
        reference: a path, or the name of a shipped recipe such as "quickstart". A file of that name goes first.

    Raises:
        RecipeError: with every fault that can be found, each with file:line:column.
        RecipeUnavailableError: when there is no such file, or it cannot be read.
    """
    return read_source(reference).load()


def read_source(reference: str | Path) -> RecipeSource:
    """Read a recipe's text, and find what is wrong with it.

    Args:
        reference: a path, or the name of a shipped recipe such as "quickstart". A file of that name goes first.

    Raises:
        RecipeUnavailableError: when there is no such file, or it cannot be read.
    """
    path = find_recipe(reference)
    return parse_source(_read(path), path)


def parse_recipe(source: bytes, path: Path) -> LoadedRecipe:
    """Validate the content of a recipe's file, which need not lie on this machine.

    Args:
        source: the file's content; one more byte than the gate allows says that it is too long.
        path: of the file, for messages and for what the recipe names beside it.

    Raises:
        RecipeError: with every fault that can be found, each with file:line:column.
    """
    return parse_source(source, path).load()


def parse_source(content: bytes, path: Path) -> RecipeSource:
    """What is wrong with the content of a recipe's file, which need not lie on this machine.

    Args:
        content: the file's bytes; one more than the gate allows says that there are too many.
        path: of the file, for messages and for what the recipe names beside it.
    """
    file = str(path)
    document = read_yaml(content, file)
    findings = [*document.faults, *_content_findings(document, file)]
    text = content.decode("utf-8", "replace") if len(content) <= MAX_BYTES else ""
    return RecipeSource(path, text, tuple(explained(sorted(findings, key=_order), _explanations())), document)


@cache
def _explanations() -> dict[str, Explanation]:
    """Code -> what its rule says about itself, for every rule that makes a text no recipe."""
    across = {rule.code: rule.explanation for rule in recipe_rules() if rule.explanation is not None}
    return {rule.code: rule.explanation for rule in FORM_RULES} | across


def recipe_hash(recipe: Recipe) -> str:
    """Sha256 (hex) of what evidence rests on, as canonical JSON: sorted keys, no spaces, defaults left out.

    Left out is what changes neither a trial nor a judgement: target, budget, processes, devices,
    expectation and texts. So evidence once gathered serves any number of targets.

    Args:
        recipe: a valid recipe, with its defaults filled in.
    """
    unused = {"sizes": {"target"}, "training": {"processes", *MACHINE}, "trainer": set(NOT_IDENTIFYING)}
    content = recipe.model_dump(
        mode="json", exclude_defaults=True, exclude={"description": True, "budget": True, "expect": True, **unused}
    )
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def find_recipe(reference: str | Path) -> Path:
    """The file that a reference means.

    Args:
        reference: a path, or the name of a shipped recipe; a file of that name goes first.

    Raises:
        RecipeUnavailableError: there is none, or it is not a regular file.
    """
    path = Path(reference)
    if str(reference) == STDIN:
        return path
    shipped = shipped_recipes()
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if str(reference) in shipped:
            return shipped[str(reference)]
        raise RecipeUnavailableError([_missing(path, tuple(shipped))]) from None
    except (OSError, ValueError) as error:  # no permission on a folder, a name that is too long, a NUL in it
        raise RecipeUnavailableError([_unreadable(path, error)]) from None
    if stat.S_ISREG(mode):
        return path
    if str(reference) in shipped:
        return shipped[str(reference)]
    if stat.S_ISDIR(mode) and is_run_folder(path):
        hint = f"name the recipe's file; `--runs {path.parent}` says where its results are"
        raise RecipeUnavailableError([_unavailable("a recipe must be a file", "a run folder", hint, path)])
    kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
    inside = sorted(str(file) for file in path.glob("*.yaml"))[:1] if stat.S_ISDIR(mode) else []
    hint = f"name a file in it, for example {inside[0]}" if inside else "name the recipe's file"
    raise RecipeUnavailableError([_unavailable("a recipe must be a file", kind, hint, path)])


def is_run_folder(path: Path) -> bool:
    """Whether a folder holds what commands write about one recipe, which is no recipe.

    Args:
        path: of a folder that exists.
    """
    return any((path / name).is_file() for name in ("tuned.yaml", "transfer.json", "recipe.json"))


def _read(path: Path) -> bytes:
    try:
        if str(path) == STDIN:
            if sys.stdin is None:  # as Python has it where the descriptor is closed
                raise OSError(errno.EBADF, "standard input is closed")
            return sys.stdin.buffer.read(MAX_BYTES + 1)
        with open_regular(path) as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise RecipeUnavailableError([_unreadable(path, error)]) from None


def _unreadable(path: Path, error: OSError | ValueError) -> Finding:
    said = error.strerror if isinstance(error, OSError) else str(error)
    return _unavailable("the recipe must be readable", said, "check its name and permissions", path)


def _unavailable(rule: str, received: str | None, hint: str, path: Path) -> Finding:
    found = Finding(rule, received, hint, Place(str(path)), "recipe/unavailable")
    return explained([found], _explanations())[0]


def _missing(path: Path, shipped: tuple[str, ...]) -> Finding:
    try:
        nearby = sorted(file.name for file in path.parent.iterdir() if file.suffix in {".yaml", ".yml"})
    except OSError:
        nearby = []
    names = ", ".join(f"`{name}`" for name in shipped)
    guess = suggestion.closest(path.name, nearby)
    meant = str(path.parent / guess) if guess else suggestion.closest(path.stem, shipped)
    hint = f"did you mean `{meant}`? " if meant else ""
    hint += f"shipped recipes: {names}" if names else "`hptransfer init` writes one to start from"
    return _unavailable("the recipe must exist", "no such file", hint, path)


def _content_findings(document: Document, file: str) -> list[Finding]:
    """What the schema and the rules across keys have to say about what the gate could read: one finding per cause."""
    if () in document.unreadable:
        return []
    if (other := other_file(document, file)) is not None:
        return [other]
    found: list[Finding] = []
    for _ in range(_ROUNDS):
        located = _located(document, document.data, file)
        unknown = {path for path, finding in located if finding.code == "recipe/unknown-key"}
        missing = {path for path, finding in located if finding.code == "recipe/missing-key"}
        mended, causes, misspelt = as_meant(document, file, unknown, missing)
        if not causes and not misspelt:
            break
        found += [*causes, *(finding for path, finding in located if path in misspelt)]
        document = mended
    return [*found, *_judged(document, file)]


def _located(document: Document, data: Plain, file: str) -> list[tuple[KeyPath, Finding]]:
    try:
        Recipe.model_validate(data)
    except ValidationError as error:
        return schema_findings(error.errors(include_url=False), document, file)
    return []


def _judged(document: Document, file: str) -> list[Finding]:
    """Findings on entries that stand where they were meant to."""
    located = _located(document, document.data, file)
    unknown = {path for path, finding in located if finding.code == "recipe/unknown-key"}
    if unknown:  # sections are checked as one only where all their keys are known
        told = {path for path, _ in located}
        rest = _located(document, without(document.data, unknown), file)
        located += [(path, finding) for path, finding in rest if path not in told]
    template = unfilled(document, file, [path for path, _ in located])
    if template is not None:
        located = [each for each in located if not is_template(entry(document.data, each[0]))]
    found = [*([template] if template else []), *(finding for _, finding in located)]
    faulty = {path for path, _ in located} - unknown | document.unreadable
    if template is not None:
        return found  # what follows from a value that is not there yet
    for rule, broken in violations(Draft.of(document.data, faulty, unknown)):
        path = broken.path if broken.path in document.positions else broken.elsewhere or broken.path
        place = locate(document.positions, file, path)
        found.append(Finding(broken.rule, broken.received, broken.hint, place, rule.code))
    return found


#: in which misplaced keys are looked for: a section that is mended may have some of its own
_ROUNDS = 4


def _order(finding: Finding) -> tuple[int, int]:
    place = finding.place or Place("")
    return place.line or 0, place.column or 0
