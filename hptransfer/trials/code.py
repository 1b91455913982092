"""The user's own code as part of a trial's identity: digests of the modules that a factory's module imports.

Found statically: nothing is imported or run. A module counts where its file lies neither in the standard library nor
in site-packages, nor in this package. Comments, formatting and docstrings do not count, and the digest is the same on
every version of Python that parses the file. What is imported by a computed name is not seen.
"""

from __future__ import annotations

import ast
import errno
import hashlib
import site
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from hptransfer.errors import UsageError
from hptransfer.files import bounded_content, open_regular
from hptransfer.registry import places_without_recipes

_PACKAGE = __name__.partition(".")[0]
#: bytes; a file of Python that is longer is no code that somebody wrote
_LONGEST_CODE = 1 << 24
#: bytes of a file that a program reads, whose content is in a trial's key
LARGEST_FILE = 1 << 30
_INSTALLED = ("site-packages", "dist-packages")


def code_digests(reference: str, folder: Path) -> dict[str, str]:
    """Sha256 (hex) of each local module that a reference leads to, by the module's dotted name.

    Args:
        reference: "module:attribute", as a recipe writes it; installed modules have no digest.
        folder: the recipe's; modules are looked for in the working directory, on `sys.path`, and here.

    Returns:
        The digests in the order of the names; empty where the module is installed or cannot be found.

    Raises:
        UsageError: a module cannot be read or parsed.
    """
    return dict(sorted(_followed([reference.partition(":")[0]], _places(folder)).items()))


def script_digests(path: Path, folder: Path) -> dict[str, str]:
    """Sha256 (hex) of a file that a program reads, and of the local modules that a Python script imports.

    Args:
        path: of the file; one that ends in `.py` is read as Python, whose script's folder goes first.
        folder: the recipe's; the file's name is relative to it.

    Returns:
        The digests by relative path, and by dotted name of the modules.

    Raises:
        UsageError: the file or a module cannot be read or parsed.
    """
    name = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()
    if path.suffix != ".py":
        return {name: _digest(path)}
    tree = _parsed(path)
    own = {name: hashlib.sha256(_text_of(tree, path)).hexdigest()}
    return own | dict(
        sorted(_followed(list(_imported(tree, "", is_package=False)), [path.parent, folder], within=folder).items())
    )


def _followed(waiting: list[str], places: Sequence[Path], within: Path | None = None) -> dict[str, str]:
    """Digests of local modules and of those that they import; with a folder, of those alone that lie below it."""
    found: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        for part in _with_parents(name):
            if part in found:
                continue
            path = _file_of(part, places)
            if path is None or (within is not None and not path.resolve().is_relative_to(within.resolve())):
                continue
            tree, is_package = _parsed(path), path.name == "__init__.py"
            found[part] = hashlib.sha256(_text_of(tree, path)).hexdigest()
            waiting += _imported(tree, part, is_package=is_package)
            if is_package:  # `from package import *` imports the modules that its `__all__` names
                waiting += [f"{part}.{name}" for name in _offered(tree)]
    return found


def _digest(path: Path) -> str:
    digest, length = hashlib.sha256(), 0
    try:
        with open_regular(path) as file:
            while piece := file.read(1 << 20):
                length += len(piece)
                if length > LARGEST_FILE:
                    raise OSError(errno.EFBIG, "it is longer than 1 GiB, too long for a trial's key")
                digest.update(piece)
        return digest.hexdigest()
    except OSError as error:
        raise UsageError("the files that a recipe names must be readable", received=f"{path}: {error}") from None


def _places(folder: Path) -> list[Path]:
    """Folders where local modules lie, in the order in which Python looks."""
    excluded = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")]
    excluded += [Path(path).resolve() for path in (*site.getsitepackages(), site.getusersitepackages())]
    places: dict[Path, None] = {}
    for entry in (Path.cwd(), *map(Path, places_without_recipes()), folder):
        path = entry.resolve()
        if path.is_dir() and path not in excluded and not any(part in _INSTALLED for part in path.parts):
            places[path] = None
    return list(places)


def _with_parents(name: str) -> list[str]:
    """A dotted name and the packages it lies in, whose code is run too, outermost first."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _file_of(name: str, places: Sequence[Path]) -> Path | None:
    """The source file of a local module; None where it is installed, built in, without a file, or this package's."""
    top = name.partition(".")[0]
    if not name or top == _PACKAGE:
        return None
    for place in places:
        path = place.joinpath(*name.split("."))
        for file in (path / "__init__.py", path.with_name(f"{path.name}.py")):
            if file.is_file() and not any(part in _INSTALLED for part in file.parts):
                return file
    return None


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(bounded_content(path, _LONGEST_CODE), filename=path.name)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:  # brackets, thousands deep
        raise UsageError("the code that a recipe names must be readable Python", received=f"{path}: {error}") from None


def _imported(tree: ast.Module, name: str, *, is_package: bool) -> Iterator[str]:
    """Dotted names of what a module may import, wherever in it; of `from a import b` both a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = name.split(".")
            above = parts[: len(parts) - node.level + is_package] if node.level else []
            source = ".".join([*above, *((node.module or "").split(".") if node.module else [])])
            yield source
            yield from (f"{source}.{alias.name}" if source else alias.name for alias in node.names if alias.name != "*")


def _offered(tree: ast.Module) -> list[str]:
    """Names in a module's `__all__`, where it is written out."""
    assigned = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id == "__all__"
    )
    elements = (each for value in assigned if isinstance(value, ast.List | ast.Tuple) for each in value.elts)
    return [each.value for each in elements if isinstance(each, ast.Constant) and isinstance(each.value, str)]


def _text_of(tree: ast.Module, path: Path) -> bytes:
    """What is digested of a module: its syntax, or the file as it is where expressions nest too deeply to be walked."""
    try:
        return _canonical(tree).encode()
    except RecursionError:
        return bounded_content(path, _LONGEST_CODE)


def _canonical(node: object) -> str:
    """A syntax tree as text that neither positions, docstrings nor Python's version change.

    `ast.dump` will not do: versions differ in which empty fields they print.
    """
    if isinstance(node, ast.AST):
        fields = []
        for name, value in ast.iter_fields(node):
            content = _without_docstring(node, value) if name == "body" else value
            if content is None or content == [] or name in ("type_comment", "kind", "type_ignores", "ctx"):
                continue
            fields.append(f"{name}={_canonical(content)}")
        return f"{type(node).__name__}({','.join(fields)})"
    if isinstance(node, list):
        return f"[{','.join(map(_canonical, node))}]"
    return f"{type(node).__name__}:{node!r}"


def _without_docstring(node: ast.AST, body: object) -> object:
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return body
    if not isinstance(body, list):
        return body
    first = body[0] if body else None
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return body[1:] if is_text and isinstance(first.value.value, str) else body  # type: ignore[union-attr]  # is_text
