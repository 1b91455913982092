"""The package read as source text: modules, what they import, functions, docstrings. Nothing is imported."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "hptransfer"
TOP = ROOT / PACKAGE


@dataclass(frozen=True)
class Import:
    """One imported module of this package.

    Attributes:
        importer: dotted name of the module that imports.
        imported: dotted name of the module or package that is imported.
        line: of the statement, counted from 1.
    """

    importer: str
    imported: str
    line: int


def name_of(path: Path) -> str:
    """Dotted name of a source file; a package's `__init__` has the package's name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    """Files of the package by dotted name."""
    return {name_of(path): path for path in sorted(TOP.rglob("*.py"))}


@cache
def tree(name: str) -> ast.Module:
    """Syntax tree of a module."""
    return ast.parse(modules()[name].read_text(encoding="utf-8"))


@cache
def imports(name: str) -> tuple[Import, ...]:
    """What a module imports from the package, at its top, under TYPE_CHECKING and inside functions."""
    known, found = modules(), []
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
            # `from package import module` imports the module
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            wanted = [each if each in known else node.module for each in inner]
        else:
            continue
        found += [Import(name, each, node.lineno) for each in dict.fromkeys(wanted) if each in known and each != name]
    return tuple(found)


def functions(name: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a module, methods and inner ones included."""
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def circles() -> list[list[str]]:
    """Groups of modules each of which imports, in some steps, every other one; smallest names first."""
    order: list[str] = []
    seen: set[str] = set()
    forward = {name: [each.imported for each in imports(name)] for name in modules()}
    backward: dict[str, list[str]] = {name: [] for name in modules()}
    for name, wanted in forward.items():
        for each in wanted:
            backward[each].append(name)

    def visit(start: str, edges: dict[str, list[str]], into: list[str]) -> None:
        stack = [(start, iter(edges[start]))]
        seen.add(start)
        while stack:
            name, left = stack[-1]
            following = next((each for each in left if each not in seen), None)
            if following is None:
                into.append(name)
                stack.pop()
            else:
                seen.add(following)
                stack.append((following, iter(edges[following])))

    for name in sorted(forward):
        if name not in seen:
            visit(name, forward, order)
    seen.clear()
    groups = []
    for name in reversed(order):
        if name not in seen:
            group: list[str] = []
            visit(name, backward, group)
            groups.append(sorted(group))
    return sorted(group for group in groups if len(group) > 1)


def packages() -> tuple[str, ...]:
    """Dotted names of all folders of the package but itself."""
    return tuple(name for name, path in modules().items() if path.stem == "__init__" and name != PACKAGE)


def offered(package: str) -> tuple[str, ...]:
    """`__all__` of a folder's `__init__`: what others may import from it; nothing where there is none."""
    for node in tree(package).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            found: list[str] = ast.literal_eval(node.value)
            return tuple(found)
    return ()


def entrances(each: Import) -> Iterator[tuple[str, str]]:
    """(folder, module or folder in it) for every folder that an import enters from outside."""
    parts = each.imported.split(".")
    for depth in range(2, len(parts)):
        package = ".".join(parts[:depth])
        if each.importer != package and not each.importer.startswith(f"{package}."):
            yield package, parts[depth]


def defined_in(package: str) -> set[str]:
    """Names that a folder's `__init__` defines or imports at its top."""
    found: set[str] = set()
    for node in tree(package).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def wanted_from(package: str) -> list[str]:
    """What modules outside a folder import from it today, in alphabetical order."""
    every = (each for name in modules() for each in imports(name))
    return sorted({inner for each in every for entered, inner in entrances(each) if entered == package})


def offer(package: str, names: Sequence[str]) -> None:
    """Writes `__all__` into a folder's `__init__`, in place of the one that is there, and leaves the rest as it is.

    Args:
        package: dotted name of the folder.
        names: of modules; with none, `__all__` is taken out.
    """
    path = modules()[package]
    text = re.sub(r"\n*^__all__ = \[[^\]]*\]\n", "\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    if names:
        module = ast.parse(text)
        heads = [node for node in module.body if isinstance(node, ast.Import | ast.ImportFrom | ast.Expr)]
        last = heads[-1].end_lineno if heads else 0
        lines = text.splitlines(keepends=True)
        lines.insert(last or 0, f"\n__all__ = {json.dumps(list(names))}\n")
        text = "".join(lines)
    path.write_text(text, encoding="utf-8")


#: a line of an `Args:` or `Attributes:` section with its first words
_DOCUMENTED = re.compile(r"^\s+\*{0,2}(\w+(?:, \w+)*)(?: \([^)]*\))?: (.*)$")


def short_argument_docs(name: str, words: int = 3) -> list[str]:
    """Arguments and attributes of a module whose documentation is one line of so few words: "size: where."."""
    return short_docs_of(tree(name), name, words)


def short_docs_of(module: ast.Module, name: str, words: int = 3) -> list[str]:
    """The same of a file that is no module of the package.

    Args:
        module: the syntax tree of the file.
        name: of the file, for messages.
        words: so few are too few.
    """
    found = []
    for node in ast.walk(module):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        section = ""
        lines = (ast.get_docstring(node) or "").splitlines()
        for line, following in zip(lines, [*lines, ""][1:], strict=True):
            if re.fullmatch(r"[A-Z]\w+:", line.strip()):
                section = line.strip()
            entry = _DOCUMENTED.match(line)
            depth = len(line) - len(line.lstrip())
            continued = following.strip() and len(following) - len(following.lstrip()) > depth
            if section in ("Args:", "Attributes:") and entry and not continued and len(entry[2].split()) <= words:
                found.append(f"{name}:{node.name} {line.strip()}")
    return found


def main() -> None:
    """Print, for every folder, the `__all__` that its users need today; with `--write`, write it."""
    for package in packages():
        # what the `__init__` itself defines and offers is not decided by imports of modules
        own = [name for name in offered(package) if name in defined_in(package)]
        wanted = sorted([*own, *wanted_from(package)])
        print(package, wanted)
        if "--write" in sys.argv[1:] and list(offered(package)) != wanted:
            offer(package, wanted)


if __name__ == "__main__":
    main()
