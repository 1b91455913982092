"""Registries: a list is written once, and where it is a folder, the folder is the list.

A registry's built-in entries are the modules of one folder, named as the modules are (`noise_scale.py` is
"noise-scale"); private modules (`_x.py`), `base.py` and folders are none. Each defines one attribute that satisfies the
room's Protocol. So a new entry is one file, names are known without importing anything, and an entry's libraries
(torch, optuna) are loaded when it is asked for. Users add entries by an entry point of an installed package, or by
`module:attribute`.
"""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hptransfer.errors import HptransferError, UsageError
from hptransfer.user_code import described_error

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Entry = TypeVar("Entry")

_ROOT = Path(__file__).parent


@dataclass(frozen=True)  # no slots: `Registry[Exporter](...)` notes its type argument on the object
class Registry(Generic[Entry]):
    """Entries of one kind, by name.

    Attributes:
        kind: what an entry is, in words for messages: "exporter".
        package: dotted name of the folder whose modules are the built-in entries.
        attribute: name of what each module defines.
        group: entry-point group in which installed packages add entries; None where users add none.
        fault: says of a user's entry, which may be anything, what it lacks to be one of this kind; None where it lacks
            nothing.
    """

    kind: str
    package: str
    attribute: str
    group: str | None = None
    fault: Callable[[Any], str | None] = lambda entry: None

    @property
    def built_in(self) -> tuple[str, ...]:
        """Names of the entries in the folder, in alphabetical order; nothing is imported."""
        return _modules(self.package)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all entries, built-in ones first; nothing is imported."""
        installed = sorted(point.name for point in _entry_points(self.group))
        return (*self.built_in, *(name for name in installed if name not in self.built_in))

    def accepts(self, name: str) -> bool:
        """Whether `name` may be looked up: a known name, or, where users may add entries, a `module:attribute`."""
        # packages are searched for entry points last, because that takes a tenth of a second
        return name in self.built_in or (self.group is not None and (":" in name or name in self.names))

    def reference(self, name: str) -> str | None:
        """Where a user's entry is defined, as `module:attribute`; None for built-in entries and unknown names.

        Args:
            name: of a built-in entry, of an entry point, or `module:attribute`.
        """
        if name in self.built_in:
            return None
        points = (point.value for point in _entry_points(self.group) if point.name == name)
        return next(points, name if ":" in name else None)

    def look_up(self, name: str) -> Entry:
        """The entry of a name.

        Args:
            name: of a built-in entry, of an entry point, or `module:attribute` where users may add entries.

        Raises:
            UsageError: there is no such entry, it cannot be imported, or it is not one of this kind.
        """
        if name in self.built_in:
            module = import_module(f"{self.package}.{name.replace('-', '_')}")
            entry: Entry = getattr(module, self.attribute)
            return entry
        for point in _entry_points(self.group):
            if point.name == name:
                return self._imported(name, *point.value.partition(":")[::2])
        if self.group is not None and ":" in name:
            return self._imported(name, *name.partition(":")[::2])
        folded = {each.casefold(): each for each in self.names}
        near = [folded[each] for each in get_close_matches(name.casefold(), folded, 1)]
        raise UsageError(
            f"the {self.kind} must be one of {', '.join(self.names)}"
            + (", or `module:attribute`" if self.group is not None else ""),
            received=name,
            hint=f"did you mean `{near[0]}`?" if near else None,
        )

    def _imported(self, name: str, module: str, attribute: str) -> Entry:
        entry: Entry = _found(f"{self._one} of one's own", name, module, attribute)
        rule = f"{self._one} of one's own must be one in form"
        with users_code(rule, name):
            fault = self.fault(entry)
        if fault is not None:
            raise UsageError(rule, received=f"{name}: {fault}")
        return entry

    @property
    def _one(self) -> str:
        return f"{'an' if self.kind[0] in 'aeiou' else 'a'} {self.kind}"


def imported(what: str, reference: str) -> Any:
    """An attribute of a user's module.

    Args:
        what: it is to be, for messages: "a function that gives batches".
        reference: `module:attribute`; modules are looked up as Python does, the current folder first.

    Raises:
        UsageError: it cannot be imported.
    """
    return _found(what, reference, *reference.partition(":")[::2])


def _found(what: str, name: str, module: str, attribute: str) -> Any:
    require_trusted(name)
    try:
        with current_folder_first():
            return getattr(import_module(module), attribute)
    except (Exception, SystemExit) as error:  # the user's module may raise anything while it is imported
        raise UsageError(
            f"{what} must be importable",
            received=f"{name}: {described_error(error)}",
            hint=_repair(error, module, attribute),
        ) from error


def written_as_file(module: str, attribute: str) -> str | None:
    """What to write where a module is named by its file, `models/net.py`; None where it is not.

    Args:
        module: as it was written, before the colon.
        attribute: what was written behind it.
    """
    if not module.endswith(".py") and "/" not in module:
        return None
    file = Path(module)
    if file.is_absolute():
        within = Path(module).is_relative_to(Path.cwd())
        file = file.relative_to(Path.cwd()) if within else Path(file.name)
    dotted = ".".join(file.with_suffix("" if file.suffix == ".py" else file.suffix).parts)
    return f"did you mean `{dotted}:{attribute}`? A module is named as `import` names it"


def _repair(error: BaseException, module: str, attribute: str) -> str:
    """What to do where a module is not found, lacks the attribute, or fails while it is imported."""
    if (meant := written_as_file(module, attribute)) is not None:
        return meant
    if isinstance(error, ModuleNotFoundError) and error.name is not None and f"{module}.".startswith(f"{error.name}."):
        return "run the command in the folder of the module, put the module beside the recipe, or install it"
    if isinstance(error, AttributeError) and module in sys.modules:
        public = [each for each in vars(sys.modules[module]) if not each.startswith("_")]
        near = get_close_matches(attribute, public, 1)
        return f"did you mean `{module}:{near[0]}`?" if near else f"define `{attribute}` in {module}"
    return f"correct {module}: `python -c 'import {module}'` shows where it fails"


@contextmanager
def users_code(rule: str, whose: str, *, own: bool = True) -> Iterator[None]:
    """Around a call into code that a user gave: whatever it raises, `sys.exit()` too, is the user's to correct.

    Args:
        rule: what the call must do.
        whose: code is called, as the user named it.
        own: whether it is the user's; False lets what is raised pass, for a failure of ours is a defect.

    Raises:
        UsageError: the code raised something that is no error of hptransfer.
    """
    try:
        yield
    except HptransferError:
        raise
    except (Exception, SystemExit) as error:
        if not own:
            raise
        raise UsageError(rule, received=f"{whose}: {described_error(error)}") from error


@contextmanager
def current_folder_first() -> Iterator[None]:
    """Users' modules are looked up as `python -m` does; an installed command starts with its own folder instead."""
    before = list(sys.path)
    sys.path.insert(0, str(Path.cwd()))
    try:
        yield
    finally:
        sys.path[:] = before


#: folders that `look_in` added to Python's places
_RECIPES_FOLDERS: set[str] = set()


def places_without_recipes() -> list[str]:
    """Where Python looks for modules, but for folders of recipes: one recipe's module must not stand for another's."""
    return [place for place in sys.path if place not in _RECIPES_FOLDERS]


def look_in(folder: Path) -> None:
    """Lets modules be imported from a recipe's folder, after every other place; nothing that is installed is hidden.

    Args:
        folder: the recipe's; only commands that run its code call this.
    """
    place = str(folder)
    if _RUNS_CODE.get() and place not in sys.path:
        sys.path.append(place)
        _RECIPES_FOLDERS.add(place)


#: whether code that a recipe names, or that lies beside it, may run
_RUNS_CODE = ContextVar("runs_code", default=True)


@contextmanager
def untrusted_recipe() -> Iterator[None]:
    """In it no code that a recipe names is imported, and no module is looked for beside the recipe."""
    before = _RUNS_CODE.set(False)
    try:
        yield
    finally:
        _RUNS_CODE.reset(before)


def may_run() -> bool:
    """Whether code that a recipe names may run here."""
    return _RUNS_CODE.get()


def require_trusted(reference: str) -> None:
    """Nothing that a recipe names runs where the recipe is not trusted.

    Args:
        reference: `module:attribute` that would be imported.

    Raises:
        UsageError: the recipe is not trusted.
    """
    if not _RUNS_CODE.get():
        raise UsageError(
            "code that a recipe names must be trusted to run",
            received=reference,
            hint="`hptransfer validate --trust` runs it, in a process of its own",
        )


def _entry_points(group: str | None) -> tuple[EntryPoint, ...]:
    """Those of a group; none where there is no group."""
    if group is None:
        return ()
    return _installed(group, tuple(sys.path))


@lru_cache(maxsize=64)
def _installed(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """A group's entry points of all packages on a path; to find them a file of each package is read."""
    from importlib.metadata import entry_points  # slow to import, and help needs none

    del path  # packages are looked for on `sys.path`; it tells entries of the cache apart
    return tuple(entry_points(group=group))


@cache
def _modules(package: str) -> tuple[str, ...]:
    """Names of the modules in a folder of this package, `_` as `-`, without importing any of them."""
    folder = _ROOT.joinpath(*package.split(".")[1:])
    found = (module.name for module in pkgutil.iter_modules([str(folder)]) if not module.ispkg)
    return tuple(sorted(name.replace("_", "-") for name in found if name != "base" and not name.startswith("_")))
